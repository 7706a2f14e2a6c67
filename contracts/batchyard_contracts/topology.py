"""Every exchange, queue and binding, as pure data: services declare all of it, so that start order does not matter.

Arguments of a queue can never be changed once it exists. What operators may want to change (lengths, time-outs)
belongs into a broker policy, not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from batchyard_contracts.v1.values import PRIORITIES, Priority

COMMANDS = "batchyard.commands"
OPERATORS = "batchyard.operators"
"""What concerns all owners. Clients get no right to write here; ingest asks who is an operator."""
FLOW = "batchyard.flow"
WORK = "batchyard.work"
EVENTS = "batchyard.events"
QUERIES = "batchyard.queries"
DEAD = "batchyard.dead"

EXCHANGES: Mapping[str, str] = {
    COMMANDS: "topic",
    OPERATORS: "topic",
    FLOW: "topic",
    WORK: "direct",
    EVENTS: "topic",
    QUERIES: "direct",
    DEAD: "topic",
}
"""Durable exchanges and their kinds."""

DEAD_SUFFIX = ".dead"
DELIVERY_LIMIT = 20
"""How often a message is given out before it is a dead letter. Handlers retry inside; this is the second line."""
WORK_DELIVERY_LIMIT = 5
"""Lower for chunks: one that is given out so often has most likely killed the workers that took it."""
SUMMARY_DELIVERY_LIMIT = 3
"""Lower still: one that takes its worker along is not to take many."""
QUERY_TTL_MS = 30_000
"""A question that nobody took by then is no longer of use to who asked."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Messages of an exchange whose routing key fits go to the queue."""

    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue. One that must not lose is a quorum queue with a dead-letter queue of its own."""

    name: str
    bindings: tuple[Binding, ...]
    delivery_limit: int | None = DELIVERY_LIMIT
    lossy_ttl_ms: int | None = None
    """Set: a classic queue for messages that are worthless after this time; no dead letters."""

    @property
    def dead_name(self) -> str:
        """Where its dead letters wait."""
        return self.name + DEAD_SUFFIX

    def arguments(self) -> dict[str, str | int]:
        """The AMQP arguments, all of them understood by RabbitMQ 3.10 to 4.3."""
        if self.lossy_ttl_ms is not None:
            return {"x-queue-type": "classic", "x-message-ttl": self.lossy_ttl_ms}
        arguments: dict[str, str | int] = {"x-queue-type": "quorum"}
        if self.delivery_limit is not None:
            arguments |= {
                "x-delivery-limit": self.delivery_limit,
                "x-dead-letter-exchange": DEAD,
                "x-dead-letter-routing-key": self.name,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            }
        return arguments

    def dead_queue(self) -> "Queue | None":
        """The queue of its dead letters, which has no limit of its own."""
        if self.delivery_limit is None:
            return None
        return Queue(self.dead_name, (Binding(DEAD, self.name),), delivery_limit=None)


INGEST_COMMANDS = Queue(
    "ingest.commands",
    tuple(
        Binding(COMMANDS, f"{verb}.*")
        for verb in ("batch.submit", "batch.append", "batch.seal", "batch.control", "cache.invalidate")
    ),
)
INGEST_SOURCES = Queue("ingest.sources", (Binding(FLOW, "source.expanded.*"), Binding(FLOW, "source.ended.*")))
INGEST_WORKERS = Queue("ingest.workers", (Binding(FLOW, "worker.announced.*"),))
DISPATCHER_PAGES = Queue("dispatcher.pages", (Binding(FLOW, "items.page.*"),))
DISPATCHER_OUTCOMES = Queue(
    "dispatcher.outcomes", (Binding(FLOW, "chunk.processed.*"), Binding(FLOW, "chunk.returned.*"))
)
DISPATCHER_CONTROL = Queue(
    "dispatcher.control",
    (
        Binding(FLOW, "batch.accepted.*"),
        Binding(FLOW, "batch.sealed.*"),
        Binding(FLOW, "batch.withdrawn.*"),
        Binding(FLOW, "batch.controlled.*"),
        Binding(FLOW, "batch.stopped.*"),
        Binding(FLOW, "items.reopened.*"),
        Binding(FLOW, "worker.announced.*"),
        Binding(EVENTS, "batch.finished.#"),
        Binding(OPERATORS, "pace.control.*"),
    ),
)
DISPATCHER_HEARTBEATS = Queue(
    "dispatcher.heartbeats", (Binding(FLOW, "worker.heartbeat.*"),), lossy_ttl_ms=QUERY_TTL_MS
)
DISPATCHER_QUERIES = Queue(
    "dispatcher.queries",
    tuple(Binding(QUERIES, f"{noun}.query.v1") for noun in ("workers", "items", "pace", "begin")),
    lossy_ttl_ms=QUERY_TTL_MS,
)
WORKER_RECOMMENDATIONS = Queue(
    "worker.recommendations", (Binding(QUERIES, "recommendations.query.v1"),), lossy_ttl_ms=QUERY_TTL_MS
)
WORKER_CACHE = Queue("worker.cache", (Binding(FLOW, "cache.invalidated.*"),))
AGGREGATOR_OUTCOMES = Queue(
    "aggregator.outcomes", (Binding(FLOW, "chunk.processed.*"), Binding(FLOW, "items.settled.*"))
)
ASIDE = "aside."
"""Before the routing key of a message of which there may be very many at once, none of them urgent: it goes to a queue
of its own, so that no other waits behind it."""
AGGREGATOR_ASIDE = Queue("aggregator.aside", (Binding(FLOW, f"{ASIDE}items.settled.*"),))
AGGREGATOR_CONTROL = Queue(
    "aggregator.control",
    (
        *(Binding(FLOW, f"batch.{verb}.*") for verb in ("accepted", "sealed", "withdrawn", "controlled", "stopped")),
        Binding(FLOW, "summary.made.*"),
    ),
)
AGGREGATOR_QUERIES = Queue(
    "aggregator.queries",
    tuple(Binding(QUERIES, f"{noun}.query.v1") for noun in ("batches", "results", "failures", "selection")),
    lossy_ttl_ms=QUERY_TTL_MS,
)
NOTIFIER_INBOX = Queue(
    "notifier.inbox",
    (Binding(FLOW, "batch.accepted.*"), Binding(EVENTS, "batch.finished.#"), Binding(EVENTS, "circuit.changed.#")),
)

QUEUES: tuple[Queue, ...] = (
    INGEST_COMMANDS,
    INGEST_SOURCES,
    INGEST_WORKERS,
    DISPATCHER_PAGES,
    DISPATCHER_OUTCOMES,
    DISPATCHER_CONTROL,
    DISPATCHER_HEARTBEATS,
    DISPATCHER_QUERIES,
    WORKER_CACHE,
    WORKER_RECOMMENDATIONS,
    AGGREGATOR_OUTCOMES,
    AGGREGATOR_ASIDE,
    AGGREGATOR_CONTROL,
    AGGREGATOR_QUERIES,
    NOTIFIER_INBOX,
)


def work_queue(workload: str, priority: Priority) -> Queue:
    """The queue of one workload and priority; it comes into being with the first worker that runs the workload."""
    name = f"work.{workload}.{priority}"
    return Queue(name, (Binding(WORK, name),), delivery_limit=WORK_DELIVERY_LIMIT)


def work_queues(workload: str) -> tuple[Queue, ...]:
    """The queues of a workload, highest priority first."""
    return tuple(work_queue(workload, priority) for priority in PRIORITIES)


def quarantine_queue(workload: str) -> Queue:
    """Chunks whose worker was lost: each is run in a process of its own. Declared by workers that do so."""
    name = f"work.{workload}.quarantine"
    return Queue(name, (Binding(WORK, name),), delivery_limit=WORK_DELIVERY_LIMIT)


def summary_queue(workload: str) -> Queue:
    """Batches of a workload whose results are to be summarized. Declared by workers that do so."""
    name = f"work.{workload}.summary"
    return Queue(name, (Binding(WORK, name),), delivery_limit=SUMMARY_DELIVERY_LIMIT)
