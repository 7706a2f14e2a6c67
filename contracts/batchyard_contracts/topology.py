"""Exchanges, queues and bindings as data. Each service declares all of them, so that the order of start does not
matter.

The arguments of a queue cannot be changed once it exists. Settings that operators may change, such as lengths and
time-outs, belong in a broker policy, not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from batchyard_contracts.v1.values import PRIORITIES, DataKind, Priority

COMMANDS = "batchyard.commands"
OPERATORS = "batchyard.operators"
"""Exchange of commands that concern all owners. Clients have no permission to publish here; ingest checks operators."""
FLOW = "batchyard.flow"
WORK = "batchyard.work"
EVENTS = "batchyard.events"
QUERIES = "batchyard.queries"
"""Exchange of clients' questions, each about the data of its sender: the user that the broker has verified."""
INQUIRIES = "batchyard.inquiries"
"""Exchange of services' questions, about the data of any owner. Clients and workers have no permission to publish
here."""
WORKER_INQUIRIES = "batchyard.inquiries.workers"
"""Exchange of workers' questions: permits to start, limits, and results of batches whose summary is being made."""
REPLIES = "batchyard.replies"
"""Exchange of the replies to clients and services, each under the name of the queue to which it goes: `reply_queue`."""
REPLY_PREFIX = "batchyard.reply."
DEAD = "batchyard.dead"

EXCHANGES: Mapping[str, str] = {
    COMMANDS: "topic",
    OPERATORS: "topic",
    FLOW: "topic",
    WORK: "direct",
    EVENTS: "topic",
    QUERIES: "direct",
    INQUIRIES: "direct",
    WORKER_INQUIRIES: "direct",
    REPLIES: "topic",
    DEAD: "topic",
}
"""Types of the exchanges, all of which are durable."""
PUBLIC_EXCHANGES = frozenset({COMMANDS, QUERIES})
"""Exchanges to which clients may publish."""
FROM_WORKERS = frozenset(
    {
        "chunk.processed.v1",
        "chunk.returned.v1",
        "source.expanded.v1",
        "summary.completed.v1",
        "worker.announced.v1",
        "worker.heartbeat.v1",
    }
)
"""Types of the messages that workers send to services. A worker may be a program in any language."""

BUNDLED_TYPES = frozenset(
    {
        "batch.accepted.v1",
        "items.page.v1",
        "batch.sealed.v1",
        "items.settled.v1",
        "chunk.processed.v1",
        "chunk.returned.v1",
    }
)
"""Types of the messages on `batchyard.flow` that may travel in bundles. Only the services of Batchyard consume them."""

DEAD_SUFFIX = ".dead"
DELIVERY_LIMIT = 20
"""Number of deliveries after which a message is dead-lettered. Handlers retry first; this limit stops crash loops."""
WORK_DELIVERY_LIMIT = 5
"""Delivery limit of chunks. It is lower, because a chunk delivered that often has probably killed its workers."""
SUMMARY_DELIVERY_LIMIT = 3
"""Delivery limit of summary requests. It is lower still, so that a fatal summary kills few workers."""
QUERY_TTL_MS = 30_000
"""Milliseconds after which a query that no service has consumed is dropped."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Binding of a queue: it receives the messages of an exchange whose routing key matches."""

    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class Queue:
    """Durable quorum queue, which outlives the loss of a broker node. One that must not lose messages has a dead-letter
    queue of its own."""

    name: str
    bindings: tuple[Binding, ...]
    delivery_limit: int | None = DELIVERY_LIMIT
    lossy_ttl_ms: int | None = None
    """Milliseconds after which a message expires; such a queue has no dead letters. None: never."""
    former_bindings: tuple[Binding, ...] = ()
    """Bindings of an earlier version, which are removed."""

    @property
    def dead_name(self) -> str:
        """Name of its dead-letter queue."""
        return self.name + DEAD_SUFFIX

    def arguments(self) -> dict[str, str | int]:
        """AMQP arguments, all of which RabbitMQ 3.10 to 4.3 support."""
        if self.lossy_ttl_ms is not None:
            return {"x-queue-type": "quorum", "x-message-ttl": self.lossy_ttl_ms}
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

    @property
    def is_public(self) -> bool:
        """True if clients may publish to this queue, so that what arrives may be anything."""
        return any(binding.exchange in PUBLIC_EXCHANGES for binding in self.bindings)

    def is_from_outside(self, message_type: str) -> bool:
        """Tell whether a client or a worker may have sent a message of this queue, so that it may be anything."""
        return self.is_public or message_type in FROM_WORKERS

    def dead_queue(self) -> "Queue | None":
        """Dead-letter queue, which has no delivery limit; None: the queue has no dead letters."""
        if self.delivery_limit is None or self.lossy_ttl_ms is not None:
            return None
        return Queue(self.dead_name, (Binding(DEAD, self.name),), delivery_limit=None)


ASIDE = "aside."
"""Prefix of the routing key of messages in bulk: settled items that are not urgent, and commands of an owner who sends
many at once. They go to a queue of their own, so that no other message waits behind them."""
WHOLE = "whole."
"""Prefix of the routing key of `batch.accepted.v1` with the items of the batch. Such messages are many and small, so
they go to queues whose consumers take many at a time. A service that does not know the prefix receives none of them."""


DELETION = ".deletion.requested"
"""End of the routing key of `deletion.requested.v1` without its version; it begins with the kind of what is deleted, so
that a service hears of what it has."""


def _deletions_of(*kinds: DataKind) -> tuple[Binding, ...]:
    return tuple(Binding(FLOW, f"{kind}{DELETION}.*") for kind in kinds)


def _asked(exchange: str, *nouns: str) -> tuple[Binding, ...]:
    return tuple(Binding(exchange, f"{noun}.query.v1") for noun in nouns)


INGEST_COMMANDS = Queue(
    "ingest.commands",
    tuple(
        Binding(COMMANDS, f"{verb}.*")
        for verb in (
            "batch.submit",
            "batch.append",
            "batch.seal",
            "batch.control",
            "results.accept",
            "cache.invalidate",
            "template.save",
            "template.submit",
            "template.control",
            "schedule.save",
            "schedule.control",
        )
    ),
)
INGEST_ASIDE = Queue(
    "ingest.aside",
    tuple(Binding(FLOW, f"{ASIDE}{binding.routing_key}") for binding in INGEST_COMMANDS.bindings),
)
INGEST_QUERIES = Queue(
    "ingest.queries", _asked(QUERIES, "templates", "template", "schedules", "runs"), lossy_ttl_ms=QUERY_TTL_MS
)
INGEST_SOURCES = Queue(
    "ingest.sources",
    (
        Binding(FLOW, "source.expanded.*"),
        Binding(FLOW, "source.ended.*"),
        Binding(FLOW, "batch.resend.*"),
        Binding(FLOW, "deletion.completed.*"),
    ),
)
INGEST_WORKERS = Queue("ingest.workers", (Binding(FLOW, "worker.announced.*"), Binding(FLOW, "notifier.announced.*")))
DISPATCHER_PAGES = Queue("dispatcher.pages", (Binding(FLOW, "items.page.*"),))
DISPATCHER_BATCHES = Queue(
    "dispatcher.batches", (Binding(FLOW, f"{WHOLE}batch.accepted.*"), Binding(EVENTS, "batch.finished.#"))
)
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
        Binding(FLOW, "batch.remedied.*"),
        *_deletions_of("payloads", "batch"),
        Binding(FLOW, "items.reopened.*"),
        Binding(FLOW, "worker.announced.*"),
        Binding(FLOW, "owner.weighted.*"),
        Binding(OPERATORS, "rates.control.*"),
    ),
    former_bindings=(Binding(EVENTS, "batch.finished.#"),),
)
DISPATCHER_HEARTBEATS = Queue(
    "dispatcher.heartbeats", (Binding(FLOW, "worker.heartbeat.*"),), lossy_ttl_ms=QUERY_TTL_MS
)
DISPATCHER_QUERIES = Queue(
    "dispatcher.queries",
    (
        *_asked(QUERIES, "items", "waiting", "reasons", "states", "history", "estimate"),
        *_asked(
            INQUIRIES,
            "workers",
            "items",
            "rates",
            "permit",
            "waiting",
            "reasons",
            "held",
            "limits",
            "states",
            "load",
            "history",
            "estimate",
        ),
        *_asked(WORKER_INQUIRIES, "permit", "limits"),
    ),
    lossy_ttl_ms=QUERY_TTL_MS,
)
WORKER_CACHE = Queue("worker.cache", (Binding(FLOW, "cache.invalidated.*"),))
AGGREGATOR_OUTCOMES = Queue(
    "aggregator.outcomes", (Binding(FLOW, "chunk.processed.*"), Binding(FLOW, "items.settled.*"))
)
AGGREGATOR_ASIDE = Queue("aggregator.aside", (Binding(FLOW, f"{ASIDE}items.settled.*"),))
AGGREGATOR_BATCHES = Queue("aggregator.batches", (Binding(FLOW, f"{WHOLE}batch.accepted.*"),))
AGGREGATOR_CONTROL = Queue(
    "aggregator.control",
    (
        *(
            Binding(FLOW, f"batch.{verb}.*")
            for verb in ("accepted", "sealed", "withdrawn", "controlled", "stopped", "remedied")
        ),
        Binding(FLOW, "results.accepted.*"),
        Binding(FLOW, "summary.completed.*"),
        *_deletions_of("outcomes", "batch"),
    ),
)
AGGREGATOR_WORKERS = Queue("aggregator.workers", (Binding(FLOW, "worker.announced.*"),))
AGGREGATOR_QUERIES = Queue(
    "aggregator.queries",
    (
        *(
            binding
            for exchange in (QUERIES, INQUIRIES)
            for binding in _asked(
                exchange, "batches", "results", "stream", "outcomes", "failures", "selection", "attempts"
            )
        ),
        *_asked(INQUIRIES, "ends", "series"),
        *_asked(WORKER_INQUIRIES, "results"),
    ),
    lossy_ttl_ms=QUERY_TTL_MS,
)
NOTIFIER_INBOX = Queue(
    "notifier.inbox",
    (
        Binding(FLOW, "notification.requested.*"),
        *_deletions_of("deliveries", "batch"),
        *(Binding(EVENTS, f"{event}.#") for event in ("batch.stuck", "circuit.changed", "key.expiring")),
    ),
    former_bindings=(Binding(FLOW, "batch.accepted.*"), Binding(EVENTS, "batch.finished.#")),
)
NOTIFIER_QUERIES = Queue(
    "notifier.queries", (*_asked(QUERIES, "deliveries"), *_asked(INQUIRIES, "deliveries")), lossy_ttl_ms=QUERY_TTL_MS
)

QUEUES: tuple[Queue, ...] = (
    INGEST_COMMANDS,
    INGEST_ASIDE,
    INGEST_QUERIES,
    INGEST_SOURCES,
    INGEST_WORKERS,
    DISPATCHER_PAGES,
    DISPATCHER_BATCHES,
    DISPATCHER_OUTCOMES,
    DISPATCHER_CONTROL,
    DISPATCHER_HEARTBEATS,
    DISPATCHER_QUERIES,
    WORKER_CACHE,
    AGGREGATOR_OUTCOMES,
    AGGREGATOR_ASIDE,
    AGGREGATOR_BATCHES,
    AGGREGATOR_CONTROL,
    AGGREGATOR_WORKERS,
    AGGREGATOR_QUERIES,
    NOTIFIER_INBOX,
    NOTIFIER_QUERIES,
)


def work_queue(workload: str, priority: Priority) -> Queue:
    """Queue of one workload and priority. The first worker that runs the workload declares it."""
    name = f"work.{workload}.{priority}"
    return Queue(name, (Binding(WORK, name),), delivery_limit=WORK_DELIVERY_LIMIT)


def work_queues(workload: str) -> tuple[Queue, ...]:
    """Queues of a workload, the highest priority first."""
    return tuple(work_queue(workload, priority) for priority in PRIORITIES)


def quarantine_queue(workload: str) -> Queue:
    """Queue of chunks whose worker was lost; each runs in a process of its own. Workers that do so declare it."""
    name = f"work.{workload}.quarantine"
    return Queue(name, (Binding(WORK, name),), delivery_limit=WORK_DELIVERY_LIMIT)


def summary_queue(workload: str) -> Queue:
    """Queue of summary requests of a workload. Workers that make its summaries declare it."""
    name = f"work.{workload}.summary"
    return Queue(name, (Binding(WORK, name),), delivery_limit=SUMMARY_DELIVERY_LIMIT)


def question_queue(workload: str, question: str) -> Queue:
    """Queue of one question to a workload. Workers that answer it declare it."""
    key = f"workload.query.v1.{workload}.{question}"
    bindings = (Binding(QUERIES, key), Binding(INQUIRIES, key))
    return Queue(f"work.{workload}.question.{question}", bindings, lossy_ttl_ms=QUERY_TTL_MS)


def reply_queue(asker: str, token: str) -> str:
    """Return the name of an exclusive queue of replies, under which it is bound to `REPLIES`, and which is the property
    `reply_to` of questions.

    `asker`: the owner or service that asks. `token`: hexadecimal digits that nobody can guess.
    """
    return f"{REPLY_PREFIX}{asker}.{token}"
