"""Tests of the main job from the command to the webhook."""

import asyncio
import json
import secrets

import pytest

from batchyard_contracts.v1.events import BatchFinished, BatchProgressed, BatchStarted
from batchyard_contracts.v1.values import Notifications, Payload
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S, until_true

SERVICES = ("ingest", "dispatcher", "worker", "aggregator", "notifier")
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_batch_completes_and_all_targets_are_notified(cluster: Cluster) -> None:
    items: list[Payload] = [{"n": n} for n in range(300)]
    items += [{"n": 1, "fail": "not_found"}] * 3
    notify = Notifications(webhooks=[cluster.webhooks.url], emails=["ann@example.test"])
    receipt = await cluster.client.submit("noop", items, name="squares", notify=notify)
    finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert (finished.result, finished.counts.succeeded, finished.counts.failed) == ("partial", 300, 3)
    await cluster.check_ledger(receipt.batch_id, 303)
    results = [r async for r in cluster.client.results(receipt.batch_id)]
    assert [r.result["n"] for r in results[:300]] == [n * n for n in range(300)]
    groups = await cluster.client.failures(receipt.batch_id)
    assert [(g.code, g.count) for g in groups] == [("not_found", 3)]
    async with asyncio.timeout(PATIENCE_S):
        while not cluster.finished_calls(receipt.batch_id):
            await cluster.webhooks.wait_for(len(cluster.webhooks.calls) + 1)
    assert cluster.finished_calls(receipt.batch_id)[0].counts.failed == 3
    async with asyncio.timeout(PATIENCE_S):
        while not (mails := [one for one in cluster.mailbox.letters if str(receipt.batch_id) in str(one.message)]):
            await cluster.mailbox.wait_for(len(cluster.mailbox.letters) + 1)
    (letter,) = mails
    assert "squares" in letter.message["Subject"]


async def test_events_report_progress_and_the_end(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", [{"n": n, "sleep_s": 0.02} for n in range(1000)])
    async with asyncio.timeout(PATIENCE_S), cluster.client.events(receipt.batch_id) as events:
        kinds = [event async for event in events]
    assert isinstance(kinds[-1], BatchFinished)
    progress = [e for e in kinds if isinstance(e, BatchProgressed)]
    assert [p.counts.ended for p in progress] == sorted(p.counts.ended for p in progress)
    assert all(p.counts.ended + p.counts.remaining == 1000 for p in progress)
    assert sum(isinstance(e, BatchStarted) for e in kinds) <= 1


async def test_transient_failures_are_retried(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", [{"n": n, "fail_attempts": n % 5} for n in range(50)])
    finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert (finished.counts.succeeded, finished.counts.failed) == (40, 10)
    results = {r.ordinal: r async for r in cluster.client.results(receipt.batch_id)}
    assert {results[i].attempts for i in range(3, 50, 5)} == {4}
    assert results[4].error is not None
    assert (results[4].error.code, results[4].attempts) == ("requested_failure", 4)


async def test_one_trace_leads_from_the_command_to_the_webhook(cluster: Cluster) -> None:
    notify = Notifications(webhooks=[cluster.webhooks.url])
    trace = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    body = {"workload": "noop", "items": [{"payload": {"n": 2}}], "notify": notify.model_dump()}
    async with cluster.http.post("batches", json=body, headers=headers) as response:
        assert response.status == 202, await response.text()
        batch_id = (await response.json())["batch_id"]
    await cluster.client.wait(batch_id, PATIENCE_S)
    async with asyncio.timeout(PATIENCE_S):
        while not (calls := [c for c in cluster.webhooks.calls if c.payload["data"]["batch_id"] == batch_id]):
            await cluster.webhooks.wait_for(len(cluster.webhooks.calls) + 1)
    assert calls[0].headers["traceparent"].split("-")[1] == trace
    await until_true(lambda: set(SERVICES) <= _services(cluster, trace))


def _services(cluster: Cluster, trace: str) -> set[str]:
    spans = [json.loads(line) for line in (cluster.folder / "spans.jsonl").read_text("utf-8").splitlines()]
    return {
        s["resource"]["attributes"]["service.name"].removeprefix("batchyard-")
        for s in spans
        if s["context"]["trace_id"] == f"0x{trace}"
    }
