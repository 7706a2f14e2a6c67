"""A report has references in place of large results; while the store is away, none is lost and no call is repeated."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from pydantic_core import to_json

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import MAX_RESULT_BYTES, ItemError, StoredResult
from services.worker.domain.outcome import Outcome, Success
from services.worker.execution.large_results import LargeResults
from shared.artefacts.results import INLINE_BYTES, ResultStore
from shared.artefacts.store import StoreFailed, StorePlace

BATCH = UUID(int=7)


class AwayStore:
    """A store that is away for a number of attempts."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts

    async def keep(self, _: UUID, result: bytes) -> StoredResult:
        """Fail, or store the result."""
        self.attempts -= 1
        if self.attempts >= 0:
            raise StoreFailed("It is away.")
        return StoredResult(sha256="0" * 64, bytes=len(result))


def text(size: int) -> bytes:
    """Return JSON of this size."""
    return b'"' + b"x" * (size - 2) + b'"'


async def stored(large: LargeResults | AwayStore, outcomes: Sequence[Outcome], *, repeatable: bool = True) -> list[Any]:
    if isinstance(large, AwayStore):
        large = LargeResults(cast("ResultStore", large), pauses_s=(0.0, 0.0))
    return list(await large.store(BATCH, outcomes, lambda _: repeatable))


async def test_only_large_results_are_stored(tmp_path: Path) -> None:
    store = ResultStore.open(StorePlace(str(tmp_path)))
    assert store is not None
    refused = ItemError(code="invalid_result")
    outcomes: list[Outcome] = [
        Success(0, "a", text(INLINE_BYTES), 3),
        Success(1, "b", text(INLINE_BYTES + 1), 4),
        ItemOutcome(ordinal=2, status="failed", error=refused, result={"x": "y" * INLINE_BYTES}),
        ItemOutcome(ordinal=3, status="retry", error=ItemError(code="busy")),
        ItemOutcome(ordinal=4, status="succeeded", result="z" * INLINE_BYTES, cached=True),
    ]
    found = await stored(LargeResults(store), outcomes)
    assert [found[0], found[3]] == [outcomes[0], outcomes[3]]
    assert [(one.ordinal, one.status, one.result, one.error, one.cached) for one in found] == [
        (0, "succeeded", "x" * (INLINE_BYTES - 2), None, False),
        (1, "succeeded", None, None, False),
        (2, "failed", None, refused, False),
        (3, "retry", None, ItemError(code="busy"), False),
        (4, "succeeded", None, None, True),
    ]
    assert (found[1].custom_id, found[1].elapsed_ms) == ("b", 4)
    references = [found[n].stored for n in (1, 2, 4)]
    read = await store.read(BATCH, references)
    assert [json.loads(read[one] or b"") for one in references] == [
        "x" * (INLINE_BYTES - 1),
        {"x": "y" * INLINE_BYTES},
        "z" * INLINE_BYTES,
    ]


async def test_a_result_beyond_the_limit_fails_its_item() -> None:
    (found,) = await stored(AwayStore(0), [Success(0, None, text(MAX_RESULT_BYTES + 1), 0)])
    assert (found.status, found.error.code) == ("failed", "result_too_large")


async def test_a_result_that_a_message_takes_stays_in_it_while_the_store_is_away() -> None:
    outcome = Success(0, None, text(1_000_000), 0)
    assert await stored(AwayStore(1), [outcome]) == [outcome]


async def test_a_larger_result_waits_for_the_store() -> None:
    (found,) = await stored(AwayStore(2), [Success(0, None, text(2_000_000), 0)])
    assert (found.status, found.stored.bytes) == ("succeeded", 2_000_000)


@pytest.mark.parametrize(("repeatable", "status"), [(True, "retry"), (False, "failed")])
async def test_a_call_that_must_not_be_repeated_is_not(repeatable: bool, status: str) -> None:
    (found,) = await stored(AwayStore(9), [Success(0, None, text(2_000_000), 0)], repeatable=repeatable)
    assert (found.status, found.error.code) == (status, "store_unavailable")
    assert "2000000 bytes" in found.error.message


async def test_a_result_that_is_nested_too_deeply_is_left_to_the_ledger(tmp_path: Path) -> None:
    value: Any = "x" * INLINE_BYTES
    for _ in range(150):
        value = [value]
    outcome = Success(0, None, to_json(value), 0)
    large = LargeResults.open(StorePlace(str(tmp_path)))
    assert large is not None
    assert await stored(large, [outcome]) == [outcome]
    assert LargeResults.open(StorePlace("")) is None
