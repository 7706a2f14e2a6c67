"""Durations of a polite owner's small batches beside an owner who does all that is allowed, and beside a harmless one.

Each owner has an API key and a user of RabbitMQ. The harmless owner sends ordinary batches, as many as take the same
processor time of services and servers. So a ratio over one is what the hostile one takes beyond its share of the
machine.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import orjson
from rich.console import Console

from batchyard_contracts.client import Client
from batchyard_contracts.client.errors import NoReply
from benchmarks import machine
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import Cluster, running_cluster
from benchmarks.processes import CLIENT, Usage
from benchmarks.report import keep, kept
from benchmarks.steadiness.neighbours import HARMLESS, HOSTILE
from benchmarks.summary import Summary
from benchmarks.work import WrongResults

POLITE, OTHER = "polite", "other"
TOKENS = {POLITE: "benchmark-polite-owner", OTHER: "benchmark-other-owner"}
DURATION_S = 20.0
ITEMS = 10
_INTERVAL_S = 0.2
_BEFORE_S = 2.0
"""Head start of the neighbour, so that it is at full speed when the measurement begins."""
_END_S = 120.0
_CALIBRATION = 10.0
"""Batches a second of the harmless owner from which the cost of one is computed."""


@dataclass(frozen=True, slots=True)
class Running:
    """A cluster, with the polite owner's connection to RabbitMQ and the address of the other owner's."""

    cluster: Cluster
    client: Client
    other_amqp_url: str


Clusters = Callable[[], AbstractAsyncContextManager[Running]]


@dataclass(frozen=True, slots=True)
class Trial:
    """Batches of the polite owner beside one neighbour."""

    taken_ms: list[float]
    cpu: float
    """Processors that services and servers used on average."""
    others_share: float


@dataclass(frozen=True, slots=True)
class Beside:
    """Batches of the polite owner beside a hostile neighbour and beside a harmless one."""

    hostile: list[Trial]
    harmless: list[Trial]

    def document(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        found = {name: _summary(trials) for name, trials in (("hostile", self.hostile), ("harmless", self.harmless))}
        return {
            **{f"{name}_ms": summary.document() for name, summary in found.items()},
            "ratio": round(found["hostile"].p99 / found["harmless"].p99, 3),
            "processors": {name: _mean([t.cpu for t in getattr(self, name)]) for name in ("hostile", "harmless")},
            "others_share": Summary.of([t.others_share for t in (*self.hostile, *self.harmless)]).document(),
        }


async def hostile(bench: BenchServers, console: Console, runs: int, only: str | None = None) -> dict[str, Any]:
    """Measure beside each kind of hostile owner, or one, and write `hostile.json`."""
    tokens = {"BATCHYARD_API_TOKENS": orjson.dumps(TOKENS).decode()}
    polite = {"Authorization": f"Bearer {TOKENS[POLITE]}"}
    kinds = (only,) if only else HOSTILE
    found = await _measured(lambda: _running(bench, tokens, polite), kinds, runs, console)
    document = ((kept("hostile") if only else None) or {}) | found
    document["machine"] = await machine.described(bench.servers)
    measured = [document[kind] for kind in HOSTILE if kind in document]
    document["worst"] = {
        "ratio": max(each["ratio"] for each in measured),
        "p99_ms": max(each["hostile_ms"]["p99"] for each in measured),
    }
    console.print(f"A polite owner beside hostile ones, at worst: {document['worst']}")
    console.print(f"Kept in {keep('hostile', document)}")
    return document


@asynccontextmanager
async def _running(bench: BenchServers, tokens: dict[str, str], headers: dict[str, str]) -> AsyncIterator[Running]:
    async with running_cluster(bench, tokens, headers) as cluster:
        urls = await _users(bench, cluster)
        async with Client.connect(urls[POLITE], owner=POLITE) as client:
            yield Running(cluster, client, urls[OTHER])


async def _users(bench: BenchServers, cluster: Cluster) -> dict[str, str]:
    """Make a user of RabbitMQ for each owner, with the rights of clients; return their addresses."""
    accounts = await bench.stack.create_accounts(cluster.servers, list(TOKENS))
    return {owner: accounts[owner]["BATCHYARD_AMQP_URL"] for owner in TOKENS}


async def _measured(clusters: Clusters, kinds: Sequence[str], runs: int, console: Console) -> dict[str, Any]:
    """Return the figures of kinds of hostile owners. Each trial has a cluster of its own, on empty servers."""
    idle = await _trial(clusters, None)
    busy = await _trial(clusters, HARMLESS, _CALIBRATION)
    cost = max(1e-3, (busy.cpu - idle.cpu) / _CALIBRATION)
    found: dict[str, Any] = {"idle_ms": Summary.of(idle.taken_ms).document()}
    for kind in kinds:
        trials = Beside([], [])
        for _ in range(runs):
            hostile = await _trial(clusters, kind)
            rate = max(0.1, (hostile.cpu - idle.cpu) / cost)
            trials.hostile.append(hostile)
            trials.harmless.append(await _trial(clusters, HARMLESS, rate))
        found[kind] = trials.document()
        console.print(f"{kind}: {found[kind]}")
    return found


async def _trial(clusters: Clusters, kind: str | None, rate: float = 1.0) -> Trial:
    async with clusters() as running, _neighbour(running, kind, rate):
        roles = {role: processes for role, processes in running.cluster.everything.items() if role != CLIENT}
        await _polite(running, 1.0)  # warm
        await asyncio.sleep(_BEFORE_S)
        usage = Usage(roles)
        began = time.perf_counter()
        taken = await _polite(running, DURATION_S)
        cpu = sum(usage.cpu_s().values()) / (time.perf_counter() - began)
        return Trial(taken, round(cpu, 3), usage.others_share())


async def _polite(owner: Running, seconds: float) -> list[float]:
    """Submit small batches at fixed times, by HTTP and AMQP in turn; return the milliseconds until each has ended."""
    began = time.monotonic()
    running = []
    for number in range(int(seconds / _INTERVAL_S)):
        await asyncio.sleep(began + number * _INTERVAL_S - time.monotonic())
        running.append(asyncio.create_task(_one(owner, over_http=number % 2 == 0)))
    return list(await asyncio.gather(*running))


async def _one(owner: Running, *, over_http: bool) -> float:
    began = time.perf_counter()
    items = [{"n": n} for n in range(ITEMS)]
    if over_http:
        body = {"workload": "noop", "items": [{"payload": item} for item in items]}
        async with owner.cluster.http.post("batches", json=body) as answer:
            answer.raise_for_status()
            batch_id = UUID((await answer.json())["batch_id"])
    else:
        batch_id = await _submit_by_amqp(owner.client, items)
    finish = await owner.cluster.finishes.of(batch_id, _END_S)
    if finish.event.counts.succeeded != ITEMS:
        raise WrongResults(f"{ITEMS} items have to succeed, {finish.event.counts.succeeded} did.")
    return (finish.received_at - began) * 1000


async def _submit_by_amqp(client: Client, items: list[dict[str, int]]) -> UUID:
    key = uuid4().hex
    while True:
        with suppress(NoReply):  # sent again under its key, as a program would
            return (await client.submit("noop", items, idempotency_key=key)).batch_id


@asynccontextmanager
async def _neighbour(running: Running, kind: str | None, rate: float) -> AsyncIterator[None]:
    if kind is None:
        yield
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.steadiness.neighbours",
        kind,
        running.cluster.url,
        running.other_amqp_url,
        str(rate),
        env={**os.environ, "NEIGHBOUR_TOKEN": TOKENS[OTHER]},
    )
    try:
        yield
        if process.returncode is not None:
            raise WrongResults(f"The neighbour {kind!r} ended by itself with {process.returncode}.")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _summary(trials: list[Trial]) -> Summary:
    return Summary.of([ms for trial in trials for ms in trial.taken_ms])


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 2)
