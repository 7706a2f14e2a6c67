"""Stores large results before their report, which carries a reference to each, so that it stays a small message."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from pydantic_core import to_json

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import MAX_RESULT_BYTES, StoredResult
from services.worker.domain import outcome as domain
from services.worker.domain.outcome import Outcome, Success
from services.worker.execution.report_writer import REPORT_BYTES_MAX
from shared.artefacts.results import INLINE_BYTES, ResultStore
from shared.artefacts.store import StoreFailed, StorePlace, StoreRefused

log = structlog.get_logger()
_FITS_INLINE = REPORT_BYTES_MAX - 20_000
"""Size of a result that a report takes, beside its head and an error."""
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses between attempts to store a result that no message takes."""


class LargeResults:
    """The store of large results, as a worker writes to it."""

    def __init__(self, store: ResultStore, pauses_s: Sequence[float] = _PAUSES_S) -> None:
        self._store, self._pauses_s = store, pauses_s

    @classmethod
    def open(cls, place: StorePlace) -> "LargeResults | None":
        """Open the store at a place; None if it has no name. Raises `ConfigurationError` if a library is missing."""
        store = ResultStore.open(place)
        return None if store is None else cls(store)

    async def store(
        self, batch_id: UUID, outcomes: Sequence[Outcome], is_repeatable: Callable[[int], bool]
    ) -> Sequence[Outcome]:
        """Return the outcomes with a reference in place of each large result.

        While the store is away, a result that a message takes stays in it. An item whose result is larger runs again
        later, or fails if `is_repeatable` denies that for its ordinal.
        """
        large = {place: body for place, one in enumerate(outcomes) if len(body := _json(one)) > INLINE_BYTES}
        if not large:
            return outcomes
        found = list(outcomes)
        for place, stored in zip(
            large,
            await asyncio.gather(
                *(self._store_one(batch_id, found[place], body, is_repeatable) for place, body in large.items())
            ),
            strict=True,
        ):
            found[place] = stored
        return found

    async def _store_one(
        self, batch_id: UUID, outcome: Outcome, body: bytes, is_repeatable: Callable[[int], bool]
    ) -> Outcome:
        if len(body) > MAX_RESULT_BYTES:
            return domain.too_large(outcome, len(body), MAX_RESULT_BYTES)
        pauses_s = () if len(body) <= _FITS_INLINE else self._pauses_s
        for pause_s in (*pauses_s, None):
            try:
                reference = await self._store.keep(batch_id, body)
            except (StoreFailed, StoreRefused) as error:
                log.warning(
                    "large result is not stored", batch_id=str(batch_id), ordinal=outcome.ordinal, error=str(error)
                )
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
            else:
                return outcome if reference is None else _with_reference(outcome, reference)
        if len(body) <= _FITS_INLINE:
            return outcome
        return domain.store_unavailable(outcome, len(body), repeatable=is_repeatable(outcome.ordinal))


def _json(outcome: Outcome) -> bytes:
    if isinstance(outcome, Success):
        return outcome.json
    return b"" if outcome.result is None else to_json(outcome.result)


def _with_reference(outcome: Outcome, stored: StoredResult) -> ItemOutcome:
    if isinstance(outcome, ItemOutcome):
        return outcome.model_copy(update={"result": None, "stored": stored})
    return ItemOutcome(
        ordinal=outcome.ordinal,
        custom_id=outcome.custom_id,
        status=outcome.status,
        stored=stored,
        elapsed_ms=outcome.elapsed_ms,
    )
