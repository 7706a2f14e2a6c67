"""Rights of the users of RabbitMQ as data: each service, an operator and a client may do what they need, and no more.

They suppose that the user `topology` has declared the exchanges and queues; services with `BATCHYARD_TOPOLOGY=check`
declare none. Patterns are RabbitMQ's: regular expressions over names of exchanges and queues.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from batchyard_contracts import topology
from batchyard_contracts.topology import Binding

NOTHING = "^$"
DEFAULT_EXCHANGE = "amq.default"
"""Name by which permissions know the exchange that has none. It carries dead letters back to their queue, and replies
to senders of an older version. The right to it reaches every queue, so that workers and clients do not have it."""
_OWN_QUEUE = r"amq\.gen-.*"
"""Exclusive queue that the broker names; no other connection may use it."""
_WORKLOAD = "[a-z][a-z0-9-]{0,47}"


@dataclass(frozen=True, slots=True)
class TopicRights:
    """Patterns of the routing keys that a user may publish with, and bind queues with, on a topic exchange."""

    write: str = NOTHING
    read: str = NOTHING


@dataclass(frozen=True, slots=True)
class Rights:
    """Rights of one user in the virtual host. An exchange that `topics` does not name has no rights by routing key."""

    configure: str = NOTHING
    """Names of what the user may declare and delete."""
    write: str = NOTHING
    """Names of exchanges to which it may publish, and of queues that it may bind."""
    read: str = NOTHING
    """Names of queues that it may consume and purge, and of exchanges from which it may bind queues."""
    topics: Mapping[str, TopicRights] = field(default_factory=dict)


def _one_of(*patterns: str) -> str:
    return f"^({'|'.join(patterns)})$"


def _names(names: Iterable[str]) -> list[str]:
    return [re.escape(name).replace("\\-", "-") for name in names]


def _queues_of(service: str) -> list[str]:
    """Return the names of the queues that a service consumes, which begin with its own."""
    return _names(queue.name for queue in topology.QUEUES if queue.name.startswith(f"{service}."))


def _types(bindings: Iterable[Binding]) -> list[str]:
    """Return patterns of the routing keys of bindings, each for every version."""
    return sorted(re.escape(binding.routing_key.removesuffix(".*")) for binding in bindings)


def _writes(*exchanges: str) -> list[str]:
    """Return names of exchanges, with that of dead letters, and that of replies by which every service answers."""
    return _names((*exchanges, topology.REPLIES, topology.DEAD))


def _reply_queues(asker: str) -> str:
    return re.escape(topology.REPLY_PREFIX) + re.escape(asker) + r"\..+"


def _replies(asker: str, *, may_reply: bool = True) -> dict[str, TopicRights]:
    """Return the rights by which somebody hears its own replies and, if it answers questions, replies to others."""
    prefix = re.escape(topology.REPLY_PREFIX)
    write = rf"^{prefix}[A-Za-z0-9_-]+\.[0-9a-f]+$" if may_reply else NOTHING
    return {topology.REPLIES: TopicRights(write, rf"^{prefix}{asker}\.[0-9a-f]+$")}


_EVERYTHING = r"^(batchyard|ingest|dispatcher|worker|aggregator|notifier|work)\..*$"
_CONTROL_QUEUE = r"worker\.control\..*"
_WORKER_QUEUES = rf"work\.{_WORKLOAD}\.(immediate|normal|low|quarantine|summary|question\..+)"
_FROM_WORKERS = _one_of(*_names(sorted(topology.FROM_WORKERS)))
_CLIENT_COMMANDS = rf"^({'|'.join(_types(topology.INGEST_COMMANDS.bindings))})\.v[0-9]+$"
_OF_OWNER = rf"^[a-z_]+\.[a-z_]+\.v[0-9]+\.({_WORKLOAD}|unknown|\*)\.{{username}}$"

USERS: Mapping[str, Rights] = {
    "topology": Rights(_EVERYTHING, _EVERYTHING, _EVERYTHING),
    "ingest": Rights(
        configure=_one_of(_OWN_QUEUE, _reply_queues("ingest")),
        write=_one_of(
            *_writes(topology.FLOW, topology.EVENTS, topology.INQUIRIES, topology.OPERATORS, DEFAULT_EXCHANGE),
            _OWN_QUEUE,
            _reply_queues("ingest"),
        ),
        read=_one_of(
            *_queues_of("ingest"),
            *_names([topology.EVENTS, topology.REPLIES]),
            _OWN_QUEUE,
            _reply_queues("ingest"),
            r".+\.dead",
        ),
        topics=_replies("ingest"),
    ),
    "dispatcher": Rights(
        write=_one_of(*_writes(topology.FLOW, topology.WORK, topology.EVENTS, DEFAULT_EXCHANGE)),
        read=_one_of(*_queues_of("dispatcher")),
    ),
    "worker": Rights(
        configure=_one_of(_CONTROL_QUEUE, _reply_queues("worker")),
        write=_one_of(*_writes(topology.FLOW, topology.WORKER_INQUIRIES), _CONTROL_QUEUE, _reply_queues("worker")),
        read=_one_of(
            _WORKER_QUEUES,
            *_queues_of("worker"),
            *_names([topology.FLOW, topology.REPLIES]),
            _CONTROL_QUEUE,
            _reply_queues("worker"),
        ),
        topics={
            topology.FLOW: TopicRights(_FROM_WORKERS, r"^batch\.(controlled|stopped)\.v[0-9]+$"),
            topology.DEAD: TopicRights(write=_one_of(_WORKER_QUEUES, *_queues_of("worker"))),
            **_replies("worker"),
        },
    ),
    "aggregator": Rights(
        configure=_one_of(_reply_queues("aggregator")),
        write=_one_of(
            *_writes(topology.FLOW, topology.WORK, topology.EVENTS, topology.INQUIRIES, DEFAULT_EXCHANGE),
            _reply_queues("aggregator"),
        ),
        read=_one_of(*_queues_of("aggregator"), *_names([topology.REPLIES]), _reply_queues("aggregator")),
        topics=_replies("aggregator"),
    ),
    "notifier": Rights(
        configure=_one_of(_reply_queues("notifier")),
        write=_one_of(*_writes(topology.FLOW, topology.INQUIRIES, DEFAULT_EXCHANGE), _reply_queues("notifier")),
        read=_one_of(*_queues_of("notifier"), *_names([topology.REPLIES]), _reply_queues("notifier")),
        topics={
            topology.FLOW: TopicRights(write=r"^(notifier\.announced|deletion\.completed)\.v[0-9]+$"),
            **_replies("notifier"),
        },
    ),
    "operator": Rights(
        write=_one_of(*_names([topology.OPERATORS, DEFAULT_EXCHANGE])),
        read=_one_of(r".+\.dead"),
    ),
}
"""Users that every installation has, with their rights."""


def client_rights(owner: str) -> Rights:
    """Return the rights of a client. Its user has the name of the owner, so that `{username}` stands for it."""
    named = (rf"batchyard\.client\.{re.escape(owner)}\..*", _reply_queues(owner))
    return Rights(
        configure=_one_of(_OWN_QUEUE, *named),
        write=_one_of(*_names([topology.COMMANDS, topology.QUERIES]), _OWN_QUEUE, *named),
        read=_one_of(*_names([topology.EVENTS, topology.REPLIES]), _OWN_QUEUE, *named),
        topics={
            topology.COMMANDS: TopicRights(write=_CLIENT_COMMANDS),
            topology.EVENTS: TopicRights(read=_OF_OWNER),
            **_replies("{username}", may_reply=False),
        },
    )
