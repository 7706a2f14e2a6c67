"""The ledger checks the results of workers that do not: a wrong one fails its item, and can be read all the same."""

from datetime import UTC, datetime
from typing import Any

import pytest

from batchyard_contracts.v1.events import BatchFinished
from batchyard_contracts.v1.flow import ItemOutcome, ItemsReopened, ResultsAccepted, WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.queries import (
    FailuresQuery,
    FailuresReply,
    ResultsQuery,
    ResultsReply,
    StreamPage,
    StreamQuery,
)
from devstack import Servers
from tests.support.ledger_messages import BATCH, accepted, at, controlled, made, processed
from tests.support.running_aggregator import Neighbours, at_work


@pytest.mark.parametrize("checks_results", [None, True])
async def test_a_wrong_result_fails_its_item_and_is_kept(clean: Servers, checks_results: bool | None) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    manifest = Manifest.model_validate(
        {"name": "noop", "version": "1", "item_schema": {}, "result_schema": schema, "checks_results": checks_results}
    )
    outcomes = {n: ItemOutcome(ordinal=n, status="succeeded", result={"n": value}) for n, value in enumerate([1, "x"])}
    async with at_work(clean) as around:
        await around.send(WorkerAnnounced(worker_id="js", manifests=[manifest], started_at=datetime.now(UTC)))
        await around.until_row("SELECT * FROM workloads")
        await around.send(accepted(2), processed(outcomes))
        (finished,) = await around.finished()
        reply = await around.query(ResultsQuery(batch_id=BATCH, owner="ann"), ResultsReply)
    errors = [item.error.code if item.error else None for item in reply.items]
    assert [item.result for item in reply.items] == [{"n": 1}, {"n": "x"}]
    assert (finished.result, errors) == (
        ("completed", [None, None]) if checks_results else ("partial", [None, "invalid_result"])
    )


async def announce_strict(around: Neighbours) -> None:
    """Announce a worker in another language, whose results are objects with a number `n`."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    manifest = Manifest.model_validate({"name": "noop", "version": "1", "item_schema": {}, "result_schema": schema})
    await around.send(WorkerAnnounced(worker_id="js", manifests=[manifest], started_at=datetime.now(UTC)))
    await around.until_row("SELECT * FROM workloads")


def results(*values: object) -> dict[int, ItemOutcome]:
    """Outcomes of items that succeeded with these values of `n`."""
    return {n: ItemOutcome(ordinal=n, status="succeeded", result={"n": value}) for n, value in enumerate(values)}


def taken(seconds: float, **fields: Any) -> ResultsAccepted:
    """The message that accepts results of round 1."""
    return ResultsAccepted.model_validate({"batch_id": BATCH, "owner": "ann", "round": 1, "at": at(seconds)} | fields)


async def test_a_refused_result_is_accepted_by_hand_and_counts_once(clean: Servers) -> None:
    async with at_work(clean) as around:
        await announce_strict(around)
        reports = processed(results(1, "x", "y") | {3: ItemOutcome(ordinal=3, status="failed")})
        await around.send(accepted(4), reports)
        await around.finished()
        await around.send(taken(1, owner="eve"), taken(2, ordinals=[1, 3]), taken(2, ordinals=[1, 3]), reports)
        first, second = await around.finished(2)
        assert (first.round, first.counts.succeeded, first.counts.failed) == (1, 1, 3)
        assert (second.round, second.result, second.counts.succeeded, second.counts.failed) == (2, "partial", 2, 2)
        reply = await around.query(ResultsQuery(batch_id=BATCH, owner="ann"), ResultsReply)
        found = [(item.status, item.round, item.result, item.error is None) for item in reply.items]
        assert found[1] == ("succeeded", 2, {"n": "x"}, True)
        assert [status for status, *_ in found] == ["succeeded", "succeeded", "failed", "failed"]
        failures = await around.query(FailuresQuery(batch_id=BATCH, owner="ann"), FailuresReply)
        assert {group.code: group.ordinals for group in failures.groups}["invalid_result"] == [2]
        for order in ("ordinal", "completion"):
            query = StreamQuery.model_validate({"batch_id": BATCH, "owner": "ann", "order": order})
            now = await around.query(query, StreamPage)
            assert sorted((item.ordinal, item.round) for item in now.items) == [(0, 1), (1, 2), (2, 1), (3, 1)]
            of_first = await around.query(query.model_copy(update={"round": 1}), StreamPage)
            refused = [item for item in of_first.items if item.ordinal == 1]
            assert [(item.error and item.error.code, item.result) for item in refused] == [
                ("invalid_result", {"n": "x"})
            ]
        await around.send(controlled("retry", 3, round=2))
        await around.until(lambda: around.all(ItemsReopened))
        (reopened,) = around.all(ItemsReopened)
        assert (reopened.round, reopened.ordinals) == (3, [2, 3])
        await around.recorded()
        assert len(around.all(BatchFinished)) == 2


async def test_the_summary_of_a_batch_is_made_anew_with_accepted_results(clean: Servers) -> None:
    async with at_work(clean) as around:
        await announce_strict(around)
        await around.send(accepted(2, has_summary=True), processed(results(1, "x")))
        await around.until_row("SELECT 1 FROM batches WHERE summary_due_at IS NOT NULL")
        await around.send(taken(1))  # too early: the round has not ended
        await around.send(made({"sum": 1}))
        (first,) = await around.finished()
        await around.send(taken(2))
        await around.until_row("SELECT 1 FROM batches WHERE summary_due_at IS NOT NULL AND round = 2")
        await around.send(made({"sum": 2}, round_=2))
        _, second = await around.finished(2)
    assert (first.result, first.summary) == ("partial", {"sum": 1})
    assert (second.result, second.counts.succeeded, second.summary) == ("completed", 2, {"sum": 2})
