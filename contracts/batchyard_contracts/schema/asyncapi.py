"""AsyncAPI 3.0 document of the platform, generated from the topology and the messages.

Each message of an exchange has a channel, whose address is its routing key; each queue has one with its arguments and
bindings. Operations are named `<participant>.send.<message>` and `<participant>.receive.<queue or message>`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from batchyard_contracts import __version__, topology, v1
from batchyard_contracts.message import BUNDLE_CONTENT_TYPE, CONTENT_TYPE, MAX_BUNDLE_MESSAGES, Message
from batchyard_contracts.topology import ASIDE, DELETION, WHOLE, Binding, Queue
from batchyard_contracts.v1.values import DataKind

Json = dict[str, Any]
CLIENT = "client"
REPLY = "reply"
_BINDING = {"bindingVersion": "0.3.0"}
_BUNDLE: Json = {
    "contentType": BUNDLE_CONTENT_TYPE,
    "maxMessages": MAX_BUNDLE_MESSAGES,
    "description": "Several of these messages may come as one, the payload of each on a line of its own. The header "
    "`traceparents` has their traces, separated by commas, where they differ.",
}

FOR_OPERATORS = {"rates.control.v1"}
"""Commands that concern all owners, which operators send."""
_ASKED = tuple(kind for kind in v1.QUERIES if kind.type.endswith(".query.v1"))
FOR_CLIENTS = {"workload.query.v1"} | {
    binding.routing_key
    for queue in topology.QUEUES
    for binding in queue.bindings
    if binding.exchange == topology.QUERIES
}
"""Queries that clients may ask; services ask these, too, and all others, on an exchange of their own."""
EXCHANGE_OF: Mapping[str, str] = {
    kind.type: exchange
    for exchange, kinds in (
        (topology.COMMANDS, tuple(kind for kind in v1.COMMANDS if kind.type not in FOR_OPERATORS)),
        (topology.OPERATORS, tuple(kind for kind in v1.COMMANDS if kind.type in FOR_OPERATORS)),
        (topology.FLOW, v1.FLOW),
        (topology.WORK, v1.WORK),
        (topology.EVENTS, v1.EVENTS),
        (topology.QUERIES, tuple(kind for kind in _ASKED if kind.type in FOR_CLIENTS)),
        (topology.INQUIRIES, tuple(kind for kind in _ASKED if kind.type not in FOR_CLIENTS)),
    )
    for kind in kinds
}
"""Exchanges of the messages, by type; a message without one is a reply."""

SENDERS: Mapping[str, tuple[str, ...]] = {
    "batch.submit.v1": (CLIENT,),
    "batch.append.v1": (CLIENT,),
    "batch.seal.v1": (CLIENT,),
    "batch.control.v1": (CLIENT,),
    "cache.invalidate.v1": (CLIENT,),
    "rates.control.v1": ("ingest",),
    "template.save.v1": (CLIENT,),
    "template.submit.v1": (CLIENT,),
    "schedule.save.v1": (CLIENT,),
    "schedule.control.v1": (CLIENT,),
    "results.accept.v1": (CLIENT,),
    "template.control.v1": (CLIENT,),
    "batch.accepted.v1": ("ingest",),
    "items.page.v1": ("ingest",),
    "source.expanded.v1": ("worker",),
    "source.ended.v1": ("aggregator",),
    "batch.sealed.v1": ("ingest",),
    "batch.withdrawn.v1": ("ingest",),
    "batch.resend.v1": ("aggregator",),
    "notification.requested.v1": ("aggregator",),
    "batch.controlled.v1": ("ingest",),
    "batch.remedied.v1": ("ingest",),
    "results.accepted.v1": ("ingest",),
    "deletion.requested.v1": ("ingest",),
    "deletion.completed.v1": ("dispatcher", "aggregator", "notifier"),
    "batch.stopped.v1": ("ingest", "dispatcher", "aggregator"),
    "items.settled.v1": ("ingest", "dispatcher", "aggregator"),
    "items.reopened.v1": ("aggregator",),
    "cache.invalidated.v1": ("ingest",),
    "chunk.ready.v1": ("dispatcher",),
    "summary.requested.v1": ("aggregator",),
    "chunk.processed.v1": ("worker",),
    "chunk.returned.v1": ("worker",),
    "summary.completed.v1": ("worker",),
    "worker.announced.v1": ("worker",),
    "notifier.announced.v1": ("notifier",),
    "worker.heartbeat.v1": ("worker",),
    "owner.weighted.v1": ("ingest",),
    "batch.started.v1": ("dispatcher",),
    "batch.progressed.v1": ("aggregator",),
    "batch.forecast.v1": ("dispatcher",),
    "batch.finished.v1": ("aggregator",),
    "item.failed.v1": ("aggregator",),
    "batch.stuck.v1": ("aggregator",),
    "key.expiring.v1": ("ingest",),
    "batch.rejected.v1": ("ingest",),
    "rate.changed.v1": ("dispatcher",),
    "circuit.changed.v1": ("dispatcher",),
    "schedule.fired.v1": ("ingest",),
    "schedule.missed.v1": ("ingest",),
    "batches.query.v1": (CLIENT, "ingest"),
    "results.query.v1": (CLIENT, "ingest"),
    "stream.query.v1": (CLIENT, "ingest"),
    "failures.query.v1": (CLIENT, "ingest"),
    "selection.query.v1": (CLIENT, "ingest"),
    "items.query.v1": (CLIENT, "ingest"),
    "waiting.query.v1": (CLIENT, "ingest"),
    "reasons.query.v1": (CLIENT, "ingest"),
    "estimate.query.v1": (CLIENT, "ingest"),
    "states.query.v1": (CLIENT, "ingest"),
    "outcomes.query.v1": (CLIENT, "ingest"),
    "attempts.query.v1": (CLIENT, "ingest"),
    "ends.query.v1": ("ingest",),
    "series.query.v1": ("ingest",),
    "load.query.v1": ("ingest",),
    "history.query.v1": (CLIENT, "ingest"),
    "held.query.v1": ("aggregator",),
    "deliveries.query.v1": (CLIENT, "ingest"),
    "workers.query.v1": ("ingest",),
    "rates.query.v1": ("ingest",),
    "workload.query.v1": (CLIENT, "ingest"),
    "templates.query.v1": (CLIENT,),
    "template.query.v1": (CLIENT,),
    "schedules.query.v1": (CLIENT,),
    "runs.query.v1": (CLIENT,),
    "permit.query.v1": ("worker",),
    "limits.query.v1": ("worker",),
}

REPLIES_TO: Mapping[str, tuple[str, ...]] = {
    **{kind.type: ("command.accepted.v1", "command.rejected.v1") for kind in v1.COMMANDS},
    "cache.invalidate.v1": ("control.accepted.v1", "command.rejected.v1"),
    "rates.control.v1": ("rates.reply.v1", "query.failed.v1"),
    "template.save.v1": ("template.saved.v1", "command.rejected.v1"),
    "template.control.v1": ("template.saved.v1", "control.accepted.v1", "command.rejected.v1"),
    "schedule.save.v1": ("schedule.accepted.v1", "command.rejected.v1"),
    "schedule.control.v1": ("schedule.accepted.v1", "command.rejected.v1"),
    **{
        f"{noun}.query.v1": (f"{noun}.reply.v1", "query.failed.v1")
        for noun in (
            "batches",
            "failures",
            "selection",
            "items",
            "waiting",
            "reasons",
            "estimate",
            "states",
            "outcomes",
            "attempts",
            "ends",
            "series",
            "load",
            "history",
            "held",
            "deliveries",
            "workers",
            "rates",
            "workload",
            "templates",
            "template",
            "schedules",
            "runs",
            "permit",
            "limits",
        )
    },
    "results.query.v1": ("results.reply.v1", "results.page.v1", "query.failed.v1"),
    "stream.query.v1": ("stream.page.v1", "query.failed.v1"),
}

_PARAMETERS: Mapping[str, Json] = {
    "workload": {"description": "The name of the workload.", "examples": ["count-words"]},
    "question": {"description": "The name of a question of the workload.", "examples": ["longest-word"]},
    "owner": {"description": "The owner of the batch.", "default": "default"},
    "priority": {"description": "The priority of the batch.", "enum": ["immediate", "normal", "low"]},
    "kind": {"description": "The kind of what is deleted.", "enum": list(get_args(DataKind))},
}
_WORK_QUEUE = "work"
_WORK_ADDRESS = "work.{workload}.{priority}"
_SUMMARY_QUEUE = "summaries"
_SUMMARY_ADDRESS = "work.{workload}.summary"
_QUESTION_QUEUE = "questions"
_QUESTION_ADDRESS = "workload.query.v1.{workload}.{question}"
_OWN_ADDRESSES = {
    "chunk.ready.v1": _WORK_ADDRESS,
    "summary.requested.v1": _SUMMARY_ADDRESS,
    "workload.query.v1": _QUESTION_ADDRESS,
    "deletion.requested.v1": f"{{kind}}{DELETION}.v1",
}


def document() -> Json:
    """AsyncAPI document; message payloads refer to the files in `schemas/` beside it."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:batchyard:asyncapi",
        "info": {
            "title": "Batchyard",
            "version": __version__,
            "description": "Runs batches of work over RabbitMQ. Clients send commands and queries and subscribe to "
            "events; the other messages are exchanged between the services.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {
            **{
                message_type: _message_channel(message_type, exchange) for message_type, exchange in EXCHANGE_OF.items()
            },
            **{queue.name: _queue_channel(queue) for queue in topology.QUEUES},
            _WORK_QUEUE: _work_queue_channel(),
            _SUMMARY_QUEUE: _summary_queue_channel(),
            _QUESTION_QUEUE: _question_queue_channel(),
            REPLY: {
                "address": None,
                "description": "The queue that `reply_to` of the request names. Its name is `batchyard.reply.`, the "
                "owner, a dot and hexadecimal digits that nobody can guess; it is exclusive, and bound to the topic "
                "exchange `batchyard.replies` under its own name. In this version, replies also go to direct reply-to "
                "and to queues that the broker (`amq.gen-…`) or aio-pika (`amq_…`) named, unless a worker answers that "
                "has no right to. No other queue receives replies.",
                "messages": _references(dict.fromkeys(name for names in REPLIES_TO.values() for name in names)),
            },
        },
        "operations": dict(_operations()),
        "components": {"messages": {kind.type: _message(kind) for kind in v1.MESSAGES.values()}},
    }


def address_of(message_type: str) -> str:
    """Routing key of a message, with its parameters in braces."""
    if address := _OWN_ADDRESSES.get(message_type):
        return address
    if EXCHANGE_OF[message_type] == topology.EVENTS:
        return f"{message_type}.{{workload}}.{{owner}}"
    return message_type


def routes_to(queue: Queue) -> list[str]:
    """Types of the messages that the bindings of a queue route to it."""
    return [
        message_type
        for message_type, exchange in EXCHANGE_OF.items()
        if any(b.exchange == exchange and _matches(_stem(b), address_of(message_type)) for b in queue.bindings)
    ]


def _stem(binding: Binding) -> str:
    stem = binding.routing_key.removeprefix(ASIDE).removeprefix(WHOLE)
    return f"{{kind}}.{stem.partition('.')[2]}" if f"{DELETION}." in stem else stem


def _matches(pattern: str, key: str) -> bool:
    """True if a binding of a topic or direct exchange matches a routing key; `#` stands at the end only."""
    wanted, words = pattern.split("."), key.split(".")
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        words = words[: len(wanted)]
    return len(wanted) == len(words) and all(w in ("*", word) for w, word in zip(wanted, words, strict=True))


def _message_channel(message_type: str, exchange: str) -> Json:
    address = address_of(message_type)
    parameters = {name: value for name, value in _PARAMETERS.items() if f"{{{name}}}" in address}
    return {
        "address": address,
        "messages": _references([message_type]),
        **({"parameters": parameters} if parameters else {}),
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": exchange,
                    "type": topology.EXCHANGES[exchange],
                    "durable": True,
                    "autoDelete": False,
                },
                **_BINDING,
            }
        },
    }


def _queue_channel(queue: Queue) -> Json:
    return {
        "address": queue.name,
        "messages": _references(routes_to(queue)),
        "bindings": {"amqp": _queue_binding(queue)},
    }


def _work_queue_channel() -> Json:
    return {
        "address": _WORK_ADDRESS,
        "description": "One queue for each workload and priority, which the first worker of the workload declares. The "
        "queue with `quarantine` in place of the priority has the chunks whose worker was lost.",
        "messages": _references(["chunk.ready.v1"]),
        "parameters": {name: _PARAMETERS[name] for name in ("workload", "priority")},
        "bindings": {"amqp": _template(topology.work_queue("workload", "normal"), _WORK_ADDRESS)},
    }


def _summary_queue_channel() -> Json:
    return {
        "address": _SUMMARY_ADDRESS,
        "description": "One queue for each workload that makes summaries, which its first worker declares.",
        "messages": _references(["summary.requested.v1"]),
        "parameters": {"workload": _PARAMETERS["workload"]},
        "bindings": {"amqp": _template(topology.summary_queue("workload"), _SUMMARY_ADDRESS)},
    }


def _question_queue_channel() -> Json:
    queue = topology.question_queue("{workload}", "{question}")
    return {
        "address": queue.name,
        "description": "One queue for each question to a workload, which its first worker declares.",
        "messages": _references(["workload.query.v1"]),
        "parameters": {name: _PARAMETERS[name] for name in ("workload", "question")},
        "bindings": {"amqp": _queue_binding(queue)},
    }


def _template(queue: Queue, address: str) -> Json:
    """Binding of one of many queues that differ by name."""

    binding = _queue_binding(queue)
    binding["queue"]["name"] = binding["x-arguments"]["x-dead-letter-routing-key"] = address
    return {**binding, "x-bindings": [{"exchange": topology.WORK, "routingKey": address}]}


def _queue_binding(queue: Queue) -> Json:
    return {
        "is": "queue",
        "queue": {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False},
        "x-arguments": queue.arguments(),
        "x-bindings": [{"exchange": b.exchange, "routingKey": b.routing_key} for b in queue.bindings],
        **_BINDING,
    }


def _operations() -> Iterable[tuple[str, Json]]:
    for message_type, senders in SENDERS.items():
        for sender in senders:
            yield f"{sender}.send.{message_type}", _operation("send", message_type, [message_type])
    for queue in topology.QUEUES:
        service = queue.name.split(".", 1)[0]
        yield f"{service}.receive.{queue.name}", _operation("receive", queue.name, routes_to(queue))
    yield "worker.receive.work", _operation("receive", _WORK_QUEUE, ["chunk.ready.v1"])
    yield "worker.receive.summaries", _operation("receive", _SUMMARY_QUEUE, ["summary.requested.v1"])
    yield "worker.receive.questions", _operation("receive", _QUESTION_QUEUE, ["workload.query.v1"])
    for kind in v1.EVENTS:
        yield f"{CLIENT}.receive.{kind.type}", _operation("receive", kind.type, [kind.type])


def _operation(action: str, channel: str, message_types: list[str]) -> Json:
    replies = list(dict.fromkeys(reply for name in message_types for reply in REPLIES_TO.get(name, ())))
    all_queries = all(EXCHANGE_OF[name] in {topology.QUERIES, topology.INQUIRIES} for name in message_types)
    all_events = all(EXCHANGE_OF[name] == topology.EVENTS for name in message_types)
    sending = {"deliveryMode": 1 if all_queries else 2, "mandatory": not all_events, "timestamp": True}
    operation: Json = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in message_types],
        "bindings": {"amqp": {**(sending if action == "send" else {"ack": True}), **_BINDING}},
    }
    if replies:
        operation["reply"] = {
            "address": {"location": "$message.header#/reply_to"},
            "channel": {"$ref": f"#/channels/{REPLY}"},
            "messages": [{"$ref": f"#/channels/{REPLY}/messages/{name}"} for name in replies],
        }
    return operation


def _message(kind: type[Message]) -> Json:
    return {
        "name": kind.type,
        "title": kind.__name__,
        "summary": " ".join((kind.__doc__ or "").split()),
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": {"traceparent": {"type": "string", "description": "W3C Trace Context of the sender."}},
        },
        **({"x-bundle": _BUNDLE} if kind.type in topology.BUNDLED_TYPES else {}),
        "payload": {"$ref": f"./schemas/{kind.type}.json"},
        "bindings": {"amqp": {"contentEncoding": "utf-8", "messageType": kind.type, **_BINDING}},
    }


def _references(message_types: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in message_types}
