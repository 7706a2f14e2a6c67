"""Tests of the contracts' client and of its errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

import pytest
from pydantic import JsonValue
from yarl import URL

from batchyard_contracts.client import (
    BatchRefused,
    BrokerRefused,
    Client,
    InvalidItem,
    NewItem,
    NotConnected,
    NotFinished,
    UnknownBatch,
)
from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed, BatchStarted
from batchyard_contracts.v1.values import Selection
from devstack import free_ports
from tests.support.cluster import Cluster
from tests.support.patience import PATIENCE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

Payload = dict[str, JsonValue]
ITEMS: list[Payload] = [{"n": n, "sleep_s": 0.3} for n in range(500)]


async def test_the_client_submits_waits_and_reads_results(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", [{"n": n} for n in range(25)])
    finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert (finished.result, finished.counts.succeeded) == ("completed", 25)

    results = [item async for item in cluster.client.results(receipt.batch_id, page=7)]
    assert [(item.ordinal, item.result) for item in results] == [(n, {"n": n * n}) for n in range(25)]
    assert await cluster.client.failures(receipt.batch_id) == []


async def test_a_subscription_before_submitting_receives_every_event(cluster: Cluster) -> None:
    batch_id = new_batch_id()
    async with asyncio.timeout(PATIENCE_S), cluster.client.events(batch_id) as events:
        receipt = await cluster.client.submit("noop", ITEMS, batch_id=batch_id)
        seen = [event async for event in events]
    assert receipt.batch_id == batch_id
    assert {event.batch_id for event in seen} == {batch_id}
    assert [type(event) for event in seen].count(BatchFinished) == 1
    assert isinstance(seen[-1], BatchFinished)
    assert {type(event) for event in seen} == {BatchStarted, BatchProgressed, BatchFinished}


async def test_waiting_for_a_finished_batch_returns_at_once(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", [NewItem(payload={"n": 3}, custom_id="three")], labels={"a": "b"})
    by_event = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    by_question = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert by_question == by_event
    assert by_question.labels == {"a": "b"}
    assert [type(event) async for event in cluster.client.events(receipt.batch_id)] == [BatchFinished]


async def test_many_items_are_split_over_several_commands(cluster: Cluster) -> None:
    async def source() -> AsyncIterator[Payload]:
        for n in range(20_500):
            yield {"n": n}

    receipt = await cluster.client.submit("noop", source(), name="many")
    assert receipt.items == 20_500
    finished = await cluster.client.wait(receipt.batch_id, 120)
    assert (finished.result, finished.counts.succeeded, finished.name) == ("completed", 20_500, "many")
    first = [item async for item in cluster.client.results(receipt.batch_id, page=1000)]
    assert [item.ordinal for item in first] == list(range(20_500))


async def test_items_of_many_bytes_are_split_too(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", [{"n": n, "note": "x" * 200_000} for n in range(12)])
    assert receipt.items == 12
    assert (await cluster.client.wait(receipt.batch_id, PATIENCE_S)).counts.succeeded == 12


async def test_the_same_key_is_the_same_batch(cluster: Cluster) -> None:
    key = f"key-{new_batch_id()}"
    first = await cluster.client.submit("noop", [{"n": 1}], idempotency_key=key)
    again = await cluster.client.submit("noop", [{"n": 1}], idempotency_key=key)
    assert (again.batch_id, again.replayed, first.replayed) == (first.batch_id, True, False)
    with pytest.raises(BatchRefused) as caught:
        await cluster.client.submit("noop", [{"n": 2}], idempotency_key=key)
    assert (caught.value.code, caught.value.status) == ("idempotency_conflict", 409)


async def test_the_same_key_is_the_same_batch_also_when_it_takes_several_commands(cluster: Cluster) -> None:
    key = f"key-{new_batch_id()}"
    items = [{"n": n} for n in range(10_001)]
    first = await cluster.client.submit("noop", items, idempotency_key=key)
    again = await cluster.client.submit("noop", items, idempotency_key=key)
    assert (again.batch_id, again.items, again.replayed) == (first.batch_id, 10_001, True)
    assert (await cluster.client.wait(first.batch_id, PATIENCE_S)).counts.total == 10_001


async def test_a_refusal_contains_code_and_line(cluster: Cluster) -> None:
    with pytest.raises(BatchRefused) as caught:
        await cluster.client.submit("noop", [{"n": 1}, {"n": 2}, {"n": "three"}])
    assert caught.value.line == 3
    with pytest.raises(BatchRefused) as caught:
        await cluster.client.submit("no-such-workload", [{"n": 1}])
    assert caught.value.code == "unknown_workload"
    with pytest.raises(BatchRefused, match="priority"):
        await cluster.client.submit("noop", [{"n": 1}], priority="urgent")  # type: ignore[arg-type]
    with pytest.raises(BatchRefused):
        await cluster.client.submit("noop", [])
    with pytest.raises(InvalidItem, match="Item 2"):
        await cluster.client.submit("noop", [{"n": 1}, "two"])  # type: ignore[list-item]


async def test_an_incomplete_submission_is_cancelled(cluster: Cluster) -> None:
    batch_id = new_batch_id()

    async def failing() -> AsyncIterator[Payload]:
        for n in range(20_001):
            yield {"n": n}
        raise LookupError("the source broke")

    with pytest.raises(LookupError, match="the source broke"):
        await cluster.client.submit("noop", failing(), batch_id=batch_id)
    finished = await cluster.client.wait(batch_id, PATIENCE_S)
    assert (finished.counts.total, finished.counts.remaining) == (20_000, 0)


async def test_a_refusal_in_a_later_command_counts_from_the_first_item(cluster: Cluster) -> None:
    batch_id = new_batch_id()
    items: list[Payload] = [{"n": n} for n in range(10_010)]
    items[10_004] = {"n": "many"}
    with pytest.raises(BatchRefused) as caught:
        await cluster.client.submit("noop", items, batch_id=batch_id)
    assert caught.value.line == 10_005
    assert (await cluster.client.wait(batch_id, PATIENCE_S)).counts.total == 10_000


async def test_the_client_pauses_changes_resumes_and_cancels(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", [{"n": n, "sleep_s": 0.2} for n in range(2000)])
    await cluster.client.control(receipt.batch_id, "pause")
    with pytest.raises(NotFinished):
        await cluster.client.wait(receipt.batch_id, 0.3)
    await cluster.client.control(receipt.batch_id, "change", priority="immediate")
    await cluster.client.control(receipt.batch_id, "cancel")
    finished = await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    assert finished.result == "cancelled"
    assert finished.counts.cancelled > 0


async def test_waiting_distinguishes_rounds(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", [{"n": 1}, {"n": 2, "fail": "not_found"}])
    assert (await cluster.client.wait(receipt.batch_id, PATIENCE_S)).round == 1
    await cluster.client.control(receipt.batch_id, "retry")
    second = await cluster.client.wait(receipt.batch_id, PATIENCE_S, since_round=2)
    assert (second.round, second.counts.failed, second.counts.succeeded) == (2, 1, 1)
    with pytest.raises(BatchRefused):
        await cluster.client.control(new_batch_id(), "retry")


async def test_selected_items_run_again_with_a_patched_payload(cluster: Cluster) -> None:
    items: list[Payload] = [{"n": 1}, {"n": 2, "fail": "not_found"}, {"n": 3, "fail": "odd"}]
    receipt = await cluster.client.submit("noop", items)
    await cluster.client.wait(receipt.batch_id, PATIENCE_S)
    with pytest.raises(BatchRefused) as caught:
        await cluster.client.control(receipt.batch_id, "retry", patch=[{"op": "frob", "path": "/n"}])
    assert caught.value.code == "invalid_patch"
    chosen, patch = Selection(codes=["not_found"]), [{"op": "remove", "path": "/fail"}]
    again = await cluster.client.control(receipt.batch_id, "retry", select=chosen, patch=patch)
    assert again.retried == 1
    second = await cluster.client.wait(receipt.batch_id, PATIENCE_S, since_round=2)
    assert (second.counts.succeeded, second.counts.failed) == (2, 1)


async def test_unknown_batches_raise_not_found(cluster: Cluster) -> None:
    nowhere = new_batch_id()
    with pytest.raises(UnknownBatch):
        await cluster.client.batch(nowhere)
    with pytest.raises(UnknownBatch):
        await anext(cluster.client.results(nowhere))
    with pytest.raises(UnknownBatch):
        await cluster.client.failures(nowhere)
    with pytest.raises(BatchRefused):
        await cluster.client.control(nowhere, "pause")
    with pytest.raises(NotFinished, match="waiting again is safe"):
        await cluster.client.wait(nowhere, 0.2)


async def test_one_client_serves_many_tasks(cluster: Cluster) -> None:
    receipts = await asyncio.gather(*(cluster.client.submit("noop", [{"n": n}]) for n in range(50)))
    assert len({receipt.batch_id for receipt in receipts}) == 50
    ends = await asyncio.gather(*(cluster.client.wait(receipt.batch_id, PATIENCE_S) for receipt in receipts))
    assert {end.batch_id for end in ends} == {receipt.batch_id for receipt in receipts}


async def test_refused_and_unreachable_brokers_raise_different_errors(cluster: Cluster) -> None:
    with pytest.raises(BrokerRefused):
        async with Client.connect(str(URL(cluster.servers.amqp_url).with_password("wrong"))):
            pass
    (port,) = free_ports(1)
    with pytest.raises(NotConnected):
        async with Client.connect(str(URL(cluster.servers.amqp_url).with_port(port))):
            pass
    async with Client.connect(cluster.servers.amqp_url, owner="somebody") as client:
        with pytest.raises(BrokerRefused, match="user_id"):
            await client.submit("noop", [{"n": 1}])
    with pytest.raises(ValueError, match="pattern"):
        async with Client.connect(cluster.servers.amqp_url, owner="no.dots"):
            pass


async def test_results_are_streamed_while_a_batch_runs(cluster: Cluster) -> None:
    receipt = await cluster.client.submit("noop", [{"n": n, "sleep_s": 0.05} for n in range(200)])
    await until(lambda: _is_recorded(cluster, receipt.batch_id))
    first = [item async for item in cluster.client.stream(receipt.batch_id)]
    assert sorted(item.ordinal for item in first) == list(range(200))
    assert {item.result["n"] for item in first} == {n * n for n in range(200)}
    rest = [item async for item in cluster.client.stream(receipt.batch_id, cursor=first[120].cursor, page=7)]
    assert rest == first[121:]
    few = [item.ordinal async for item in cluster.client.stream(receipt.batch_id, order="ordinal", status="failed")]
    assert few == []


async def _is_recorded(cluster: Cluster, batch_id: UUID) -> bool:
    with suppress(UnknownBatch):
        return bool(await cluster.client.batch(batch_id))
    return False
