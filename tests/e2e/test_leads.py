"""Tests of leads through the real services against a stand-in that counts its sales."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.values import Units
from services.worker.workloads.leads.model import Leads, Preview
from tests.support.cluster import Cluster
from tests.support.http_target import http_target
from tests.support.patience import PATIENCE_S, until
from tests.support.property_radar import TOKEN, PropertyRadar, property_radar

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHAIN = Path(__file__).parents[2] / "examples" / "chain"
CRITERIA = [{"name": "ZipFive", "value": [97202]}]


class OwnWorker:
    """One worker that runs leads, and its successors after a kill."""

    def __init__(self, cluster: Cluster, radar: PropertyRadar) -> None:
        self._cluster, self.radar = cluster, radar
        self.log = cluster.folder / "leads-worker.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        environment = {
            **os.environ,
            **self._cluster.servers.environment(),
            "BATCHYARD_HEALTH_PORT": "0",
            "BATCHYARD_HEARTBEAT_S": "1",
            "BATCHYARD_WORKER_WORKLOADS": '["leads"]',
            "BATCHYARD_LEADS_KEY": TOKEN,
            "BATCHYARD_LEADS_URL": self.radar.url,
            "BATCHYARD_LEADS_ALLOW_CHARGES": "true",
            "BATCHYARD_LEADS_TIMEOUT_S": "3",
        }
        with self.log.open("ab") as log:
            argv = (sys.executable, "-m", "services.worker")
            self._process = await asyncio.create_subprocess_exec(*argv, env=environment, stdout=log, stderr=log)
        await until(self._workers, lambda body: b'"leads"' in body)

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(self._process.wait(), PATIENCE_S)

    async def _workers(self) -> bytes:
        async with self._cluster.http.get("workers") as response:
            return await response.read()


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def own_worker(cluster: Cluster) -> AsyncIterator[OwnWorker]:
    async with property_radar() as radar:
        own_worker = OwnWorker(cluster, radar)
        await own_worker.start()
        async with cluster.http.put("rates/leads", json={"rate": {"per_second": 10_000, "burst": 1000}}) as response:
            assert response.status == 200, await response.text()
        try:
            yield own_worker
        finally:
            await own_worker.stop()
            async with cluster.http.delete("rates/leads"):
                pass


@asynccontextmanager
async def _selling(own_worker: OwnWorker, **how: Any) -> AsyncIterator[PropertyRadar]:
    """Restart the stand-in with these settings."""
    fresh = PropertyRadar(url=own_worker.radar.url)
    for name, value in (vars_of(fresh) | how).items():
        setattr(own_worker.radar, name, value)
    yield own_worker.radar


def vars_of(radar: PropertyRadar) -> dict[str, Any]:
    return {name: getattr(radar, name) for name in PropertyRadar.__slots__}


async def _submit(cluster: Cluster, *, estimate: bool = False, **source: Any) -> UUID:
    command = BatchSubmit(workload="leads", source={"criteria": CRITERIA, **source}, estimate=estimate)
    return await _accepted(cluster, json.loads(command.encode()))


async def _ended(cluster: Cluster, batch_id: UUID) -> tuple[Preview, list[Leads]]:
    finished = await cluster.client.wait(batch_id, 90)
    results = [item.result async for item in cluster.client.results(batch_id)]
    assert finished.result == "completed", (finished, await cluster.client.failures(batch_id))
    return Preview.model_validate(results[0]), [Leads.model_validate(one) for one in results[1:]]


async def test_without_a_purchase_records_are_counted_and_nothing_is_sold(
    cluster: Cluster, own_worker: OwnWorker
) -> None:
    async with _selling(own_worker, matching=1342, free=1000) as radar:
        preview, pages = await _ended(cluster, await _submit(cluster))
    assert (preview.found, preview.records, preview.pages, preview.free_remaining) == (1342, 1342, 4, 1000)
    assert (preview.calls, preview.seconds, preview.purchase, preview.cost) == (9, 4.5, False, None)
    assert (pages, radar.previews, radar.sold) == ([], 1, {})


async def test_ten_thousand_records_are_bought_once_each_and_added_up(cluster: Cluster, own_worker: OwnWorker) -> None:
    async with _selling(own_worker, matching=25_000) as radar:
        batch_id = await _submit(cluster, purchase=True, max_results=10_000, budget=0)
        preview, pages = await _ended(cluster, batch_id)
    assert (preview.records, preview.pages, preview.cost) == (10_000, 25, Decimal(0))
    assert [page.start for page in pages] == list(range(0, 10_000, 400))
    records = [record for page in pages for record in page.records]
    assert len({record["RadarID"] for record in records}) == len(records) == 10_000
    assert records[1]["isSameMailing"] is True
    assert records[1]["inForeclosure"] is True
    assert set(radar.purchases.values()) == {1}
    assert radar.previews == 26
    state = await cluster.client.batch(batch_id)
    assert state.counts.units == Units(name="records", done=10_000, total=10_000)
    assert state.summary == {"pages": 25, "records": 10_000, "cost": "0", "without_cost": 0, "free_remaining": 990_000}
    await cluster.check_ledger(batch_id, 26)


async def test_an_estimate_of_a_purchase_states_its_cost_and_buys_nothing(
    cluster: Cluster, own_worker: OwnWorker
) -> None:
    async with _selling(own_worker, matching=900, free=0) as radar:
        preview, pages = await _ended(
            cluster, await _submit(cluster, estimate=True, purchase=True, max_results=800, budget=100)
        )
    assert (preview.records, preview.cost, pages) == (800, Decimal(40), [])
    assert radar.sold == {}


async def test_a_refused_purchase_fails_with_its_reason(cluster: Cluster, own_worker: OwnWorker) -> None:
    for how, source, code in (
        ({"matching": 900, "free": 0}, {"budget": 39, "max_results": 800}, "over_budget"),
        ({"matching": 900, "free": 500}, {"budget": 39, "max_results": 800}, "cost_unknown"),
        ({}, {"budget": 0, "max_results": 1, "fields": ["Shoe"]}, "bad_request"),
    ):
        async with _selling(own_worker, **how) as radar:
            batch_id = await _submit(cluster, purchase=True, **source)
            finished = await cluster.client.wait(batch_id, PATIENCE_S)
            (group,) = await cluster.client.failures(batch_id)
            assert (finished.result, finished.counts.total, group.code) == ("failed", 1, code)
            assert radar.sold == {}


async def test_transient_errors_are_retried_but_not_uncertain_purchases(
    cluster: Cluster, own_worker: OwnWorker
) -> None:
    troubles = ["429+", "503", "buy 429+", "buy 503", "buy drop", "buy late", "buy garbled", "buy bare"]
    async with _selling(own_worker, matching=4000, fail=troubles) as radar:
        batch_id = await _submit(cluster, purchase=True, max_results=4000, budget=0)
        finished = await cluster.client.wait(batch_id, 90)
        codes: Counter[str] = Counter()
        for group in await cluster.client.failures(batch_id):
            codes[group.code] += group.count
    assert codes == {"needs_review": 4}
    assert isinstance(finished.summary, dict)
    assert finished.summary["without_cost"] == 1
    assert (finished.counts.succeeded, finished.counts.failed) == (7, 4)
    assert set(radar.purchases.values()) == {1}  # the 503 sold nothing, and was not asked again either
    assert len(radar.purchases) == 9


async def test_a_worker_killed_while_buying_buys_no_page_twice(cluster: Cluster, own_worker: OwnWorker) -> None:
    async with _selling(own_worker, matching=2800, hold=asyncio.Event()) as radar:
        batch_id = await _submit(cluster, purchase=True, max_results=2800, budget=0)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if len(radar.purchases) == 4:  # as many as a worker buys at once
                    break
                await asyncio.sleep(0.02)  # the stand-in tells nobody
        await own_worker.kill()
        assert radar.hold is not None
        radar.hold.set()
        at_once = set(radar.purchases)
        await own_worker.start()
        finished = await cluster.client.wait(batch_id, 90)
        failures = [item async for item in cluster.client.results(batch_id, status="failed")]
    assert {item.error.code for item in failures if item.error} == {"needs_review"}
    assert {(item.ordinal - 1) * 400 for item in failures} == at_once
    assert finished.counts.succeeded == 8 - len(failures)
    assert set(radar.purchases) == set(range(0, 2800, 400))
    assert set(radar.purchases.values()) == {1}


async def test_records_of_pages_that_overlap_are_exported_once(cluster: Cluster, own_worker: OwnWorker) -> None:
    async with _selling(own_worker, matching=1000, repeat=20):
        batch_id = await _submit(cluster, purchase=True, max_results=1000, budget=0)
        _, pages = await _ended(cluster, batch_id)
    assert sum(page.count for page in pages) == 1000
    async with cluster.http.get(f"batches/{batch_id}/results?format=records") as response:
        ids = [json.loads(line)["RadarID"] for line in (await response.read()).splitlines()]
    assert len(set(ids)) == len(ids) == 980
    async with cluster.http.get(f"batches/{batch_id}/results?format=records-csv") as response:
        header, *rows = (await response.text()).splitlines()
    assert header.startswith("RadarID,Address,City")
    assert len(rows) == 980


async def test_the_worker_log_contains_no_personal_data_and_no_key(own_worker: OwnWorker) -> None:
    logged = own_worker.log.read_bytes()
    assert b'"started"' in logged
    for secret in (b"EXAMPLE OWNER", b"Demo St", TOKEN.encode()):
        assert secret not in logged


async def test_leads_are_followed_by_their_distances_and_a_report(cluster: Cluster, own_worker: OwnWorker) -> None:
    report = json.loads((CHAIN / "report.json").read_text())
    next_batch = json.loads((CHAIN / "distances-next.json").read_text())
    source = {"criteria": CRITERIA, "purchase": True, "max_results": 900, "budget": 0}
    async with _selling(own_worker, matching=900), http_target() as target:
        report["body"]["items"][0]["payload"]["url"] = f"{target.origins[0]}/echo"
        for template in (json.loads((CHAIN / "distances-from-office.json").read_text()), report):
            async with cluster.http.post("templates", json=template) as response:
                assert response.status == 201, await response.text()
        leads = await _accepted(cluster, {"workload": "leads", "source": source, "follow_ups": [next_batch]})
        await _ended(cluster, leads)
        distances = await _follower(cluster, leads)
        reported = await _follower(cluster, distances)
    pairs = [item.result async for item in cluster.client.results(distances)]
    assert [(pair["contractor"], pair["job"]) for pair in pairs] == [("office", f"P{n:08d}") for n in range(900)]
    (call,) = [item.result async for item in cluster.client.results(reported)]
    assert json.loads(call["json"]["body"]) == (await cluster.client.batch(distances)).summary
    assert target.calls["/echo"] == 1


async def _accepted(cluster: Cluster, batch: dict[str, Any]) -> UUID:
    async with cluster.http.post("batches", json=batch) as response:
        assert response.status == 202, await response.text()
        return UUID((await response.json())["batch_id"])


async def _follower(cluster: Cluster, batch_id: UUID) -> UUID:
    """Wait for the batch that follows another one, and for its end."""

    async def follower() -> dict[str, Any]:
        async with cluster.http.get(f"batches/{batch_id}/lineage") as response:
            (found,) = (await response.json())["followed_by"]
        return dict(found)

    found = await until(follower, lambda found: found["state"] in {"started", "failed"})
    assert found["state"] == "started", found
    next_batch = UUID(found["batch_id"])
    assert (await cluster.client.wait(next_batch, PATIENCE_S)).result == "completed"
    return next_batch
