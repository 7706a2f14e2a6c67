"""Tests on real servers of commands to a batch, and of the rounds that a retry opens."""

import pytest

from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.flow import BatchWithdrawn, ItemOutcome, ItemsReopened
from batchyard_contracts.v1.queries import FailuresQuery, FailuresReply
from batchyard_contracts.v1.values import ItemError
from devstack import Servers
from tests.support.ledger_messages import BATCH, accepted, at, controlled, processed, settled
from tests.support.running_aggregator import at_work


def failure(ordinal: int, code: str, message: str) -> ItemOutcome:
    """Outcome of an item that failed for good."""
    return ItemOutcome(ordinal=ordinal, status="failed", error=ItemError(code=code, message=message))


async def test_a_retry_reopens_the_failed_items_once(clean: Servers) -> None:
    failed = range(500, 12_500)
    async with at_work(clean) as around:
        await around.send(accepted(12_500), processed(dict.fromkeys(range(500), "succeeded")))
        first = [processed(dict.fromkeys(part, "failed")) for part in (failed[:6000], failed[6000:])]
        await around.send(*first)
        await around.finished()
        retry = controlled("retry", 10)
        await around.send(retry, retry)
        await around.until(lambda: sum(len(message.ordinals) for message in around.all(ItemsReopened)) >= 12_000)
        assert sorted(ordinal for message in around.all(ItemsReopened) for ordinal in message.ordinals) == list(failed)
        assert {(message.batch_id, message.round) for message in around.all(ItemsReopened)} == {(BATCH, 2)}
        assert [len(message.ordinals) for message in around.all(ItemsReopened)] == [10_000, 2_000]
        await around.until(lambda: around.all(BatchProgressed)[-1].round == 2)
        assert around.all(BatchProgressed)[-1].counts.remaining == 12_000

        await around.send(*first, retry, settled("cancelled", [500], round_=2))
        for part in (failed[:6000], failed[6000:]):
            await around.send(processed(dict.fromkeys(part, "succeeded"), round_=2, attempt=1))
        second = (await around.finished(2))[1]
        assert (second.round, second.result) == (2, "cancelled")
        assert (second.counts.succeeded, second.counts.cancelled, second.counts.failed) == (12_499, 1, 0)
        await around.send(retry, *first)
        await around.recorded()
        assert len(around.all(BatchFinished)) == 2
        rounds = await around.rows(
            "SELECT o.round, count(*) FROM outcomes o JOIN batches b ON b.id = o.batch"
            " WHERE b.batch_id = $1 GROUP BY o.round ORDER BY o.round",
            BATCH,
        )
        assert rounds == [{"round": 1, "count": 500}, {"round": 2, "count": 12_000}]

        await around.send(controlled("retry", 20))
        await around.until(lambda: around.all(ItemsReopened)[-1].round == 3)
        assert around.all(ItemsReopened)[-1].ordinals == [500]


async def test_a_retry_of_a_running_batch_or_of_another_owner_has_no_effect(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(accepted(2), processed({0: "failed"}), controlled("retry", 1))
        await around.until_row("SELECT 1 FROM batches WHERE retry_asked_at = $1", at(1))
        await around.send(processed({1: "succeeded"}))
        (end,) = await around.finished()
        assert (end.round, end.result) == (1, "partial")
        await around.send(controlled("retry", 1), controlled("retry", 2, owner="eve"))
        await around.send(controlled("change", 3, priority="low"))
        await around.until_row("SELECT 1 FROM batches WHERE priority = 'low'")
        assert await around.rows("SELECT round, status FROM batches") == [{"round": 1, "status": "finished"}]
        assert around.all(ItemsReopened) == []


@pytest.mark.parametrize("header_first", [True, False])
async def test_commands_apply_before_and_after_the_header(clean: Servers, header_first: bool) -> None:
    async with at_work(clean) as around:
        if header_first:
            await around.send(accepted(2))
            await around.until_row("SELECT 1 FROM batches WHERE owner = 'ann'")
        await around.send(controlled("pause", 1), controlled("change", 2, priority="immediate"))
        await around.until_row("SELECT 1 FROM batches WHERE paused AND priority = 'immediate'")
        if not header_first:
            await around.send(accepted(2))
            await around.until_row("SELECT 1 FROM batches WHERE owner = 'ann'")
        assert await around.rows("SELECT status FROM batches") == [{"status": "paused"}]
        await around.send(controlled("resume", 3))
        await around.until(lambda: any(frame.status == "running" for frame in around.all(BatchProgressed)))
        await around.send(controlled("pause", 1), controlled("cancel", 4))
        await around.until_row("SELECT 1 FROM batches WHERE cancel_asked_at = $1 AND status = 'running'", at(4))
        await around.send(settled("cancelled", [0, 1]))
        (end,) = await around.finished()
        assert (end.result, end.priority) == ("cancelled", "immediate")


async def test_a_withdrawn_submission_is_deleted_unless_it_was_accepted(clean: Servers) -> None:
    async with at_work(clean) as around:
        await around.send(settled("duplicate", [1]))
        await around.until_row("SELECT 1 FROM outcomes")
        await around.send(BatchWithdrawn(batch_id=BATCH))
        await around.until_row(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM outcomes) AND NOT EXISTS (SELECT 1 FROM batches)"
        )
        await around.send(accepted(2))
        await around.until_row("SELECT 1 FROM batches WHERE owner = 'ann'")
        await around.send(BatchWithdrawn(batch_id=BATCH), processed({0: "succeeded", 1: "succeeded"}))
        (end,) = await around.finished()
        assert end.result == "completed"


async def test_a_retry_of_a_selection_keeps_the_other_failures(clean: Servers) -> None:
    async with at_work(clean) as around:
        outcomes: dict[int, object] = {0: "succeeded"}
        outcomes |= {n: failure(n, "not_found" if n < 5 else "blocked", f"no page {n}") for n in range(1, 9)}
        await around.send(accepted(9), processed(outcomes))
        await around.finished()
        patch = [{"op": "add", "path": "/x", "value": None}]
        select = {"codes": ["not_found"]}
        late = controlled("retry", 9, select=select, round=7)
        await around.send(late, controlled("retry", 10, select=select, patch=patch, except_ordinals=[2], round=1))
        await around.until(lambda: bool(around.all(ItemsReopened)))
        (reopened,) = around.all(ItemsReopened)
        assert (reopened.round, reopened.ordinals, reopened.patch) == (2, [1, 3, 4], patch)
        groups = (await around.query(FailuresQuery(owner="ann", batch_id=BATCH), FailuresReply)).groups
        assert [(group.code, group.ordinals) for group in groups] == [("blocked", [5, 6, 7, 8]), ("not_found", [2])]

        await around.send(
            processed(dict.fromkeys([1, 3], "succeeded") | {4: failure(4, "blocked", "no page")}, round_=2)
        )
        second = (await around.finished(2))[1]
        assert (second.result, second.counts.succeeded, second.counts.failed) == ("partial", 3, 6)
        groups = (await around.query(FailuresQuery(owner="ann", batch_id=BATCH), FailuresReply)).groups
        assert [(group.code, group.count) for group in groups] == [("blocked", 4), ("blocked", 1), ("not_found", 1)]

        await around.send(
            controlled("retry", 20, select={"ordinals": [0, 1]}), controlled("change", 21, priority="low")
        )
        await around.until_row("SELECT 1 FROM batches WHERE priority = 'low'")
        assert await around.rows("SELECT round, status FROM batches") == [{"round": 2, "status": "finished"}]
