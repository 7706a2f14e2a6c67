"""Stores large results that workers send in their reports, and reads all that are stored."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
import structlog

from batchyard_contracts.v1.flow import ItemsSettled
from batchyard_contracts.v1.values import StoredResult
from services.aggregator.domain.report import Report
from shared.artefacts.results import INLINE_BYTES, ResultsAway, ResultStore
from shared.artefacts.store import StoreFailed, StoreRefused
from shared.messaging.fast_readers import RawOutcome, RawStoredResult

log = structlog.get_logger()
_PAUSE_S = 30.0
"""Seconds for which nothing is stored after a failure: each attempt may take a minute, while all outcomes wait."""
_NO_STORE = (
    "Workers have stored large results, and BATCHYARD_RESULTS_STORE of the aggregator names no store. Set it to that "
    "of the workers."
)
Results = Mapping[bytes, bytes | None]
"""Stored results by SHA-256; None: it is lost."""
NO_RESULTS: Results = {}


class LargeResults:
    """The store of large results, as the aggregator uses it; without one, results stay in their rows."""

    def __init__(self, store: ResultStore | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.files = self._store = store
        self._clock = clock
        self._pauses_until = -math.inf

    async def store(self, reports: Sequence[Report | ItemsSettled]) -> Sequence[Report | ItemsSettled]:
        """Return the reports with a reference in place of each large result. One that cannot be stored now stays."""
        if self._store is None:
            return reports
        return [
            await self._store_of(self._store, one) if isinstance(one, Report) and _has_large(one) else one
            for one in reports
        ]

    async def _store_of(self, store: ResultStore, report: Report) -> Report:
        if self._clock() < self._pauses_until:
            return report
        outcomes = list(report.outcomes)
        try:
            for place, one in enumerate(outcomes):
                if len(one.result) > INLINE_BYTES:
                    reference = await store.keep(report.batch_id, bytes(one.result))
                    if reference is not None:
                        outcomes[place] = _replace(one, msgspec.Raw(), reference)
        except (StoreFailed, StoreRefused) as error:
            self._pauses_until = self._clock() + _PAUSE_S
            log.warning("large results stay in their rows", batch_id=str(report.batch_id), error=str(error))
        return msgspec.structs.replace(report, outcomes=outcomes)

    async def without_references(self, report: Report) -> Report:
        """Return a report with the results that its worker has stored, as far as they are there.

        Raises `ConnectionError` while the store is away, so that the message is handled again.
        """
        references = [_reference(one.stored) for one in report.outcomes if one.stored is not None]
        if self._store is None or not references:
            return report
        try:
            found = await self._store.read(report.batch_id, references)
        except ResultsAway as error:
            raise ConnectionError(str(error)) from error
        outcomes = [
            one
            if one.stored is None or (result := found[_reference(one.stored)]) is None
            else _replace(one, msgspec.Raw(result), None)
            for one in report.outcomes
        ]
        return msgspec.structs.replace(report, outcomes=outcomes)

    async def load(self, batch_id: UUID, rows: Sequence[Any]) -> Results:
        """Return the stored results of some rows of a batch. Raises `ResultsAway`."""
        digests = {row["stored_sha256"]: row["stored_bytes"] for row in rows if row["stored_sha256"] is not None}
        if not digests:
            return NO_RESULTS
        if self._store is None:
            raise ResultsAway(_NO_STORE)
        references = [StoredResult(sha256=digest.hex(), bytes=size) for digest, size in digests.items()]
        found = await self._store.read(batch_id, references)
        for one in references:
            if found[one] is None:
                log.error("a large result is lost", batch_id=str(batch_id), sha256=one.sha256)
        return dict(zip(digests, (found[one] for one in references), strict=True))


def _has_large(report: Report) -> bool:
    return any(len(one.result) > INLINE_BYTES for one in report.outcomes)


def _replace(outcome: RawOutcome, result: msgspec.Raw, stored: StoredResult | None) -> RawOutcome:
    reference = None if stored is None else RawStoredResult(stored.sha256, stored.bytes)
    return msgspec.structs.replace(outcome, result=result, stored=reference)


def _reference(stored: RawStoredResult) -> StoredResult:
    return StoredResult(sha256=stored.sha256, bytes=stored.bytes)
