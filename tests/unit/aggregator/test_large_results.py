"""Large results that the aggregator stores: a store that is away holds no outcomes up."""

from typing import cast
from uuid import UUID

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import StoredResult
from services.aggregator.domain.report import Report
from services.aggregator.handlers.large_results import LargeResults
from shared.artefacts.results import INLINE_BYTES, ResultStore
from shared.artefacts.store import StoreFailed
from tests.support.ledger_messages import processed

LARGE = "x" * INLINE_BYTES
REPORT = Report.decode(
    processed({n: ItemOutcome(ordinal=n, status="succeeded", result=LARGE) for n in range(2)}).encode()
)


class AwayStore:
    """A store that is away until it is told otherwise."""

    def __init__(self) -> None:
        self.is_away, self.attempts = True, 0

    async def keep(self, _: UUID, result: bytes) -> StoredResult:
        """Fail, or store the result."""
        self.attempts += 1
        if self.is_away:
            raise StoreFailed("It is away.")
        return StoredResult(sha256="0" * 64, bytes=len(result))


async def test_a_store_that_is_away_is_asked_once_in_a_while() -> None:
    now, store = [1000.0], AwayStore()
    large = LargeResults(cast("ResultStore", store), lambda: now[0])
    assert list(await large.store([REPORT, REPORT])) == [REPORT, REPORT]
    assert list(await large.store([REPORT])) == [REPORT]
    assert store.attempts == 1
    store.is_away = False
    now[0] += 31.0
    (stored,) = await large.store([REPORT])
    assert isinstance(stored, Report)
    assert [(bytes(one.result), one.stored is not None) for one in stored.outcomes] == [(b"", True)] * 2
