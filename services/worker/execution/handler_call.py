"""One call of a handler: its arguments for each item, and the outcomes of its results."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from batchyard_contracts.v1.work import ChunkItem, ChunkReady
from batchyard_contracts.workload import Context
from batchyard_contracts.workload.rate_limit_headers import RemainingCalls
from services.worker.domain import outcome as domain
from services.worker.domain.outcome import Outcome

OnRemaining = Callable[[RemainingCalls], None]


class HandlerCall:
    """Arguments of a handler. Items that the model rejects have their outcome already."""

    def __init__(
        self,
        model: type[BaseModel],
        chunk: ChunkReady,
        items: Sequence[ChunkItem],
        resources: object = None,
        on_remaining: OnRemaining | None = None,
        *,
        result_model: type[BaseModel] = BaseModel,
        at_most_once: bool = False,
    ) -> None:
        """`on_remaining` is called with reported limits. `at_most_once`: unforeseen errors must not be retried."""
        self._result_model, self._at_most_once = result_model, at_most_once
        self.items: list[ChunkItem] = []
        self.payloads: list[Any] = []
        self.contexts: list[Context] = []
        self._invalid: list[Outcome] = []
        for item in items:
            try:
                payload = model.model_validate(item.payload)
            except ValidationError as error:
                self._invalid.append(domain.invalid_item(item, error))
            except Exception as error:  # noqa: BLE001  a validator that broke
                self._invalid.append(domain.internal_error(item, error, 0))
            else:
                self.items.append(item)
                self.payloads.append(payload)
                self.contexts.append(handler_context(chunk, item, resources, on_remaining))

    def outcomes(self, results: Sequence[Any], elapsed_s: float) -> list[Outcome]:
        """Return the outcomes of a handler that returned these results."""
        outcomes = domain.from_chunk_handler(
            self.items, results, self._item_ms(elapsed_s), self._result_model, at_most_once=self._at_most_once
        )
        return [*self._invalid, *outcomes]

    def error_outcomes(self, error: BaseException, elapsed_s: float) -> list[Outcome]:
        """Return the outcomes of a handler that raised: the same error for all items."""
        item_ms = self._item_ms(elapsed_s)
        return [
            *self._invalid,
            *(domain.from_handler(item, error, item_ms, at_most_once=self._at_most_once) for item in self.items),
        ]

    def _item_ms(self, elapsed_s: float) -> int:
        return round(elapsed_s * 1000 / max(1, len(self.items)))


def handler_context(
    chunk: ChunkReady, item: ChunkItem, resources: object, on_remaining: OnRemaining | None = None
) -> Context:
    """Return the context with which a handler is called."""
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
        on_remaining,
        chunk.owner,
    )
