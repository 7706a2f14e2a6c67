"""The dispatcher tells what it has in hand, for an owner its own batches alone."""

import time
from collections.abc import AsyncIterator

import pytest

from batchyard_contracts.v1.manifest import CircuitRule
from batchyard_contracts.v1.queries import LoadQuery, LoadReply
from batchyard_contracts.v1.values import ItemError
from devstack import Servers
from services.dispatcher.queries import load_query
from tests.support.dispatcher_parts import ENVELOPE, Parts, dispatcher_parts


@pytest.fixture
async def parts(clean: Servers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Parts]:
    """A dispatcher with empty tables and a worker for the workload "w", whose destinations are hosts."""
    monkeypatch.setattr(load_query, "_KEPT_S", 0.0)
    async with dispatcher_parts(clean) as make:
        made = make()
        hosts = {"pointer": "/url", "by": "host"}
        made.add_workload("w", chunk_max=1, concurrency=1, partition=hosts, circuit=CircuitRule())
        yield made


async def ask(parts: Parts, owner: str | None = None) -> LoadReply:
    return await parts.components.load_query.on_load_query(LoadQuery(owner=owner), ENVELOPE)


async def test_batches_and_their_items_are_counted_by_owner_and_workload(parts: Parts) -> None:
    await parts.add_batch({"a.example": 2}, owner="ann")
    paused = await parts.add_batch({"a.example": 2}, owner="bob")
    lonely = await parts.add_batch({"": 1}, workload="none", owner="bob")
    await parts.control(paused, "pause", owner="bob")
    async with parts.dispatching():
        await parts.until(lambda: len(parts.outbox.chunks) == 2)
    everything = await ask(parts)
    assert (everything.batches, everything.paused, everything.in_flight) == (3, 1, 2)
    assert [(one.workload, one.batches, one.in_flight) for one in everything.workloads] == [("none", 1, 0), ("w", 2, 2)]
    assert [one.waiting.code if one.waiting else None for one in everything.workloads] == ["no_worker", None]
    bob = await ask(parts, "bob")
    assert (bob.batches, bob.paused, bob.in_flight, len(bob.workloads)) == (2, 1, 0, 2)
    assert (await ask(parts, "eve")).workloads == []
    await parts.finish(lonely, 1)
    assert (await ask(parts)).batches == 2


async def test_an_open_circuit_is_told_to_those_whose_items_it_holds_back(parts: Parts) -> None:
    await parts.add_batch({"a.example": 3, "b.example": 1}, owner="ann")
    await parts.add_batch({"b.example": 2}, owner="bob")
    async with parts.dispatching():
        await parts.until(lambda: len(parts.outbox.chunks) >= 2)
    refused = ItemError(code="captcha", scope="provider")
    parts.state.workload_queue("w").window.record_refusal("a.example", refused, time.monotonic())
    (circuit,) = (await ask(parts, "ann")).circuits
    assert (circuit.partition, circuit.circuit, circuit.error) == ("a.example", "open", refused)
    assert circuit.waiting > 0
    assert (await ask(parts, "bob")).circuits == []
    assert len((await ask(parts)).circuits) == 1


async def test_one_walk_serves_all_who_ask_within_a_second(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_query, "_KEPT_S", 3600.0)
    await parts.add_batch({"a.example": 1}, owner="ann")
    assert (await ask(parts, "ann")).batches == 1
    await parts.add_batch({"a.example": 1}, owner="ann")
    assert (await ask(parts)).batches == 1
    monkeypatch.setattr(load_query, "_KEPT_S", 0.0)
    assert (await ask(parts)).batches == 2
