"""The ledger checks the results of workers that do not: a wrong one fails its item, and can be read all the same."""

from datetime import UTC, datetime

import pytest

from batchyard_contracts.v1.flow import ItemOutcome, WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.queries import ResultsQuery, ResultsReply
from devstack import Servers
from tests.support.ledger_messages import BATCH, accepted, processed
from tests.support.running_aggregator import at_work


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
