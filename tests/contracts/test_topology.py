"""The topology as data: every message finds its way, and RabbitMQ 3.10 to 4.3 understand every argument."""

import re

import pytest

from batchyard_contracts import topology, v1
from batchyard_contracts.schema.asyncapi import EXCHANGE_OF, SENDERS, address_of, routes_to
from batchyard_contracts.schema.export import HOME
from batchyard_contracts.topology import (
    INQUIRIES,
    QUERIES,
    QUEUES,
    Binding,
    Queue,
    quarantine_queue,
    question_queue,
    summary_queue,
    work_queues,
)
from batchyard_contracts.v1.queries import WorkloadQuery
from batchyard_contracts.v1.work import ChunkReady, SummaryRequested

PUBLIC_ONLY = {
    "batch.started.v1",
    "batch.progressed.v1",
    "batch.forecast.v1",
    "batch.rejected.v1",
    "item.failed.v1",
    "rate.changed.v1",
    "schedule.fired.v1",
    "schedule.missed.v1",
}
"""Events that no service needs to hear."""
KNOWN_ARGUMENTS = {
    "x-queue-type",
    "x-message-ttl",
    "x-delivery-limit",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-overflow",
}
"""Understood for quorum queues by every version from 3.10 to 4.3; `x-max-priority`, for instance, is not."""
ALL = [
    *QUEUES,
    *work_queues("noop"),
    quarantine_queue("noop"),
    summary_queue("noop"),
    question_queue("noop", "root"),
]
DEAD = [dead for queue in ALL if (dead := queue.dead_queue())]


@pytest.mark.parametrize("message_type", EXCHANGE_OF)
def test_a_message_reaches_a_queue(message_type: str) -> None:
    if message_type in {"chunk.ready.v1", "summary.requested.v1", "workload.query.v1"}:
        return  # their queues are made with their workload: below
    receivers = [queue.name for queue in QUEUES if message_type in routes_to(queue)]
    assert bool(receivers) != (message_type in PUBLIC_ONLY), receivers


def test_a_chunk_has_a_queue_for_each_priority_highest_first() -> None:
    assert [queue.name for queue in work_queues("noop")] == ["work.noop.immediate", "work.noop.normal", "work.noop.low"]
    for queue in work_queues("noop"):
        assert queue.bindings == (Binding(topology.WORK, queue.name),)


def test_a_quarantined_chunk_goes_to_the_quarantine_of_its_workload() -> None:
    queue = quarantine_queue("tracklists")
    chunk = ChunkReady.decode((HOME / "examples/chunk.ready.v1/quarantined.json").read_bytes())
    assert queue.bindings == (Binding(topology.WORK, chunk.routing_key()),)


def test_a_wanted_summary_goes_to_its_workload() -> None:
    wanted = SummaryRequested.decode((HOME / "examples/summary.requested.v1/distances.json").read_bytes())
    assert summary_queue("distances").bindings == (Binding(topology.WORK, wanted.routing_key()),)


def test_a_question_goes_to_the_queue_of_its_workload_and_name() -> None:
    asked = WorkloadQuery.decode((HOME / "examples/workload.query.v1/longest-word.json").read_bytes())
    queue = question_queue("count-words", "longest-word")
    assert queue.bindings == tuple(Binding(exchange, asked.routing_key()) for exchange in (QUERIES, INQUIRIES))


def test_clients_can_only_ask_for_what_has_an_owner() -> None:
    """A question without an owner would be answered about everybody; one to a workload is about nobody's data."""
    asked = {b.routing_key for queue in QUEUES for b in queue.bindings if b.exchange == QUERIES}
    assert asked == {
        kind.type
        for kind in v1.QUERIES
        if (owner := kind.model_fields.get("owner")) and owner.is_required() and kind.type.endswith(".query.v1")
    }


def test_events_reach_a_service_whatever_the_workload_and_owner() -> None:
    assert address_of("batch.finished.v1") == "batch.finished.v1.{workload}.{owner}"
    assert {q.name for q in QUEUES if "batch.finished.v1" in routes_to(q)} == {"dispatcher.batches"}


def test_the_notifier_hears_of_nothing_that_every_batch_sends() -> None:
    assert set(routes_to(topology.NOTIFIER_INBOX)) == {
        "notification.requested.v1",
        "batch.stuck.v1",
        "circuit.changed.v1",
        "key.expiring.v1",
        "deletion.requested.v1",
    }
    keys = {binding.routing_key for binding in topology.NOTIFIER_INBOX.bindings}
    assert not keys & {f"{kind}.deletion.requested.*" for kind in ("payloads", "outcomes")}


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_no_binding_is_removed_that_is_needed(queue: Queue) -> None:
    assert not set(queue.bindings) & set(queue.former_bindings)


@pytest.mark.parametrize("queue", [*ALL, *DEAD], ids=lambda queue: queue.name)
def test_arguments_are_understood_by_every_supported_broker(queue: Queue) -> None:
    assert queue.arguments().keys() <= KNOWN_ARGUMENTS


@pytest.mark.parametrize("queue", [*ALL, *DEAD], ids=lambda queue: queue.name)
def test_a_queue_outlives_the_loss_of_a_node(queue: Queue) -> None:
    assert queue.arguments()["x-queue-type"] == "quorum"


def test_only_what_clients_may_publish_to_is_public() -> None:
    public = {queue.name for queue in ALL if queue.is_public}
    assert public == {
        "ingest.commands",
        "ingest.queries",
        "dispatcher.queries",
        "aggregator.queries",
        "notifier.queries",
        question_queue("noop", "root").name,
    }


def test_messages_of_workers_are_from_outside() -> None:
    sent = {kind for kind, senders in SENDERS.items() if "worker" in senders and EXCHANGE_OF[kind] == topology.FLOW}
    assert sent == topology.FROM_WORKERS
    assert topology.AGGREGATOR_OUTCOMES.is_from_outside("chunk.processed.v1")
    assert not topology.AGGREGATOR_OUTCOMES.is_from_outside("items.settled.v1")


def test_a_queue_that_may_lose_messages_has_no_dead_letters() -> None:
    assert [queue.name for queue in ALL if queue.lossy_ttl_ms is not None and queue.dead_queue() is not None] == []


@pytest.mark.parametrize("queue", [*ALL, *DEAD], ids=lambda queue: queue.name)
def test_a_queue_loses_nothing_unless_it_says_so(queue: Queue) -> None:
    arguments = queue.arguments()
    if queue.lossy_ttl_ms is not None:
        assert arguments == {"x-queue-type": "quorum", "x-message-ttl": queue.lossy_ttl_ms}
        return
    if queue.name.endswith(topology.DEAD_SUFFIX):
        assert queue.dead_queue() is None, "dead letters of dead letters would go in circles"
    else:
        assert arguments["x-dead-letter-strategy"] == "at-least-once"
        assert arguments["x-overflow"] == "reject-publish", "without it at-least-once is not in force"
        assert int(arguments["x-delivery-limit"]) > 0


@pytest.mark.parametrize("queue", ALL, ids=lambda queue: queue.name)
def test_dead_letters_have_a_queue(queue: Queue) -> None:
    arguments = queue.arguments()
    if "x-dead-letter-exchange" not in arguments:
        assert queue.lossy_ttl_ms is not None
        return
    dead = queue.dead_queue()
    assert dead is not None
    assert dead.name == f"{queue.name}.dead"
    route = Binding(str(arguments["x-dead-letter-exchange"]), str(arguments["x-dead-letter-routing-key"]))
    assert dead.bindings == (route,)


def test_names_are_unique_and_say_whose_they_are() -> None:
    names = [queue.name for queue in [*ALL, *DEAD]]
    assert len(set(names)) == len(names)
    services = {"ingest", "dispatcher", "worker", "aggregator", "notifier"}
    assert {queue.name.split(".")[0] for queue in QUEUES} == services
    assert all(re.fullmatch(r"batchyard\.[a-z]+(\.workers)?", name) for name in topology.EXCHANGES)


def test_bindings_name_exchanges_that_exist_and_use_wildcards_only_where_they_work() -> None:
    for queue in [*ALL, *DEAD]:
        assert queue.bindings
        for binding in queue.bindings:
            kind = topology.EXCHANGES[binding.exchange]
            assert kind == "topic" or not set(binding.routing_key) & set("*#")


def test_bindings_let_a_second_version_of_a_message_in() -> None:
    """A `v2` beside a `v1` must reach the queue of its service without a new binding."""
    for queue in QUEUES:
        for binding in queue.bindings:
            if binding.exchange in {topology.COMMANDS, topology.FLOW}:
                assert binding.routing_key.endswith(".*")


def test_commands_that_concern_all_owners_are_accepted_from_operators_alone() -> None:
    taken = {b.exchange for queue in QUEUES for b in queue.bindings if b.routing_key.startswith("rates.control")}
    assert taken == {topology.OPERATORS}
    assert not any(b.exchange == topology.OPERATORS for b in topology.INGEST_COMMANDS.bindings)
