"""Tests on real servers of failure thresholds and of stops by other services."""

from typing import Any

import pytest

from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import BatchStopped, ItemOutcome
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState
from batchyard_contracts.v1.values import FailureThreshold, ItemError, StopReason, Terms
from devstack import Servers
from services.aggregator.publishing import missing_items
from tests.support.ledger_messages import BATCH, accepted, at, controlled, processed, settled
from tests.support.running_aggregator import Neighbours, at_work


async def shown(around: Neighbours) -> BatchState:
    reply = await around.query(BatchesQuery(owner="ann", batch_ids=[BATCH]), BatchesReply)
    return reply.batches[0]


def failing(ordinals: range, code: str, **fields: Any) -> Any:
    error = ItemError(code=code)
    return processed({n: ItemOutcome(ordinal=n, status="failed", error=error) for n in ordinals}, **fields)


def terms(**threshold: Any) -> dict[str, Any]:
    return {"terms": Terms(failure_threshold=FailureThreshold(**threshold))}


@pytest.mark.parametrize(
    ("threshold", "detail"),
    [
        ({"count": 5}, "6 items have failed; the batch stops at more than 5."),
        ({"share": 0.05}, "6 of 106 items have failed; the batch stops at more than 0.05 of them."),
        ({"codes": {"captcha": 5}}, "6 items have failed with captcha; the batch stops at more than 5."),
    ],
)
async def test_a_threshold_stops_the_rest_and_keeps_the_results(
    clean: Servers, threshold: dict[str, Any], detail: str
) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(120, **terms(**threshold)))
        await around.send(processed(dict.fromkeys(range(100), "succeeded")))
        await around.send(failing(range(100, 105), "captcha"), failing(range(105, 106), "captcha"))
        await around.until(lambda: bool(around.all(BatchStopped)))
        await around.send(processed({106: "succeeded"}), failing(range(107, 110), "captcha"))
        await around.send(settled("cancelled", list(range(110, 120))))
        (end,) = await around.finished()
        assert (end.result, end.stop_reason) == ("cancelled", "failure_threshold")
        assert (end.counts.succeeded, end.counts.failed, end.counts.cancelled) == (101, 9, 10)
        (stop,) = around.all(BatchStopped)
        assert (stop.batch_id, stop.owner, stop.round, stop.reason) == (
            BATCH,
            "ann",
            1,
            "failure_threshold",
        )
        assert stop.detail == detail
        state = await shown(around)
        assert (state.stop_reason, state.terms.failure_threshold) == (
            "failure_threshold",
            FailureThreshold(**threshold),
        )


async def test_a_threshold_set_after_the_failures_applies(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(20), failing(range(6), "captcha"))
        await around.recorded()
        assert around.all(BatchStopped) == []
        await around.send(controlled("change", 1, **terms(codes={"captcha": 5})))
        await around.until(lambda: bool(around.all(BatchStopped)))


async def test_repeated_outcomes_count_once_for_the_threshold(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(20, **terms(count=5)))
        for _ in range(3):
            await around.send(failing(range(3), "x"), failing(range(3), "x"))
        await around.recorded()
        assert around.all(BatchStopped) == []
        await around.send(failing(range(7), "x"), failing(range(7), "x"))
        await around.until(lambda: bool(around.all(BatchStopped)))
        await around.send(failing(range(7, 9), "x"))
        await around.recorded()
        assert len(around.all(BatchStopped)) == 1


async def test_codes_count_per_round(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(10, **terms(codes={"captcha": 5})), failing(range(5), "captcha"))
        await around.send(processed(dict.fromkeys(range(5, 10), "succeeded")))
        await around.finished()
        await around.send(controlled("retry", 10, select={"ordinals": [0, 1]}))
        await around.until_row("SELECT 1 FROM batches WHERE round = 2")
        await around.send(failing(range(2), "captcha", round_=2))
        second = (await around.finished(2))[1]
        assert (second.result, second.stop_reason, second.counts.failed) == ("partial", None, 5)
        assert around.all(BatchStopped) == []


@pytest.mark.parametrize(
    ("cause", "result"), [("deadline", "partial"), ("never_sealed", "partial"), ("internal_error", "cancelled")]
)
async def test_a_stop_by_another_service_gives_its_reason(clean: Servers, cause: StopReason, result: str) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(4), processed({0: "succeeded"}))
        expired = settled("expired", [1, 2, 3]).model_copy(update={"reason": cause})
        await around.send(expired)  # faster than batch.stopped.v1, which comes by another queue
        (end,) = await around.finished()
        assert (end.result, end.stop_reason, end.counts.expired) == (result, cause, 3)
        stop = BatchStopped(batch_id=BATCH, owner="ann", round=1, reason=cause, detail="", at=at(1))
        await around.send(controlled("retry", 10))
        await around.until_row("SELECT 1 FROM batches WHERE round = 2")
        await around.send(stop)
        await around.send(processed(dict.fromkeys([1, 2, 3], "succeeded"), round_=2))
        second = (await around.finished(2))[1]
        assert (second.result, second.stop_reason) == ("completed", None)


async def test_a_stop_reason_is_visible_before_the_end(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(4, terms=Terms(weight=3)))
        await around.send(BatchStopped(batch_id=BATCH, owner="ann", round=1, reason="deadline", detail="", at=at(1)))
        await around.until_row("SELECT 1 FROM batches WHERE stopped = 'deadline' AND terms IS NOT NULL")
        state = await shown(around)
        assert (state.stop_reason, state.terms, state.status) == ("deadline", Terms(weight=3), "running")


async def test_a_batch_that_an_operator_ends_needs_no_dispatcher(
    clean: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing_items, "_MAX_ITEMS", 2)
    async with at_work(clean) as around:
        await around.send(accepted(6), processed({2: "succeeded"}), controlled("cancel", 1))
        await around.recorded()
        assert around.all(BatchFinished) == [], "an ordinary cancel waits for the dispatcher"
        await around.send(controlled("cancel", 2, forced=True))
        (end,) = await around.finished()
        assert (end.result, end.counts.succeeded, end.counts.cancelled) == ("cancelled", 1, 5)
        await around.send(processed({0: "succeeded"}), controlled("cancel", 3, forced=True))
        await around.recorded()
        assert len(around.all(BatchFinished)) == 1
        assert (await shown(around)).counts == end.counts
