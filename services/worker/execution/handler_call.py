"""One call of a handler: what it is given for each item, and the outcomes that its answers are."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload import Context
from batchyard_contracts.workload.rate_limit_headers import RemainingCalls
from services.worker.domain import outcome
from services.worker.domain.success import Outcome

Hear = Callable[[RemainingCalls], None]


class Call:
    """Items of a chunk as a handler takes them. Those that their model refuses have their outcome already."""

    def __init__(
        self,
        model: type[BaseModel],
        chunk: ChunkReady,
        items: Sequence[ChunkItem],
        resources: object = None,
        hear: Hear | None = None,
        *,
        once: bool = False,
    ) -> None:
        """`hear` is told what a destination says is left. `once`: what nobody foresaw must not be repeated."""
        self._once = once
        self.items: list[ChunkItem] = []
        self.payloads: list[Any] = []
        self.contexts: list[Context] = []
        self._refused: list[Outcome] = []
        for item in items:
            try:
                payload = model.model_validate(item.payload)
            except ValidationError as error:
                self._refused.append(outcome.invalid(item, error))
            except Exception as error:  # noqa: BLE001  a validator that broke
                self._refused.append(outcome.defective(item, error, 0))
            else:
                self.items.append(item)
                self.payloads.append(payload)
                self.contexts.append(context_of(chunk, item, resources, hear))

    def answered(self, answers: Sequence[Any], elapsed_s: float) -> list[Outcome]:
        """The outcomes when the handler returned these."""
        outcomes = outcome.answered(self.items, answers, self._each_ms(elapsed_s), once=self._once)
        return [*self._refused, *outcomes]

    def raised(self, error: BaseException, elapsed_s: float) -> list[Outcome]:
        """The outcomes when it raised: the same for all."""
        each_ms = self._each_ms(elapsed_s)
        return [*self._refused, *(outcome.ended(item, error, each_ms, once=self._once) for item in self.items)]

    def _each_ms(self, elapsed_s: float) -> int:
        return round(elapsed_s * 1000 / max(1, len(self.items)))


def context_of(chunk: ChunkReady, item: ChunkItem, resources: object, hear: Hear | None = None) -> Context:
    """What a handler may know of an item."""
    return Context(
        chunk.batch_id,
        item.ordinal,
        chunk.round,
        chunk.attempt,
        chunk.partition,
        resources,
        item.state,
        None,
        item.rerun or chunk.fence > 1 or chunk.quarantined,
        hear,
    )
