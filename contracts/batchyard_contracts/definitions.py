"""Definitions of exchanges, queues, users and rights, which RabbitMQ imports.

A user whose password is not given cannot log in by a password. RabbitMQ replaces the passwords of users that it has.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from batchyard_contracts import topology
from batchyard_contracts.broker_rights import USERS, Rights, client_rights
from batchyard_contracts.topology import Queue

_ANYTHING = ".*"
_SALT_BYTES = 4
"""Length of the salt that RabbitMQ's hash of a password begins with."""


def definitions(
    vhost: str,
    *,
    owners: Iterable[str] = (),
    passwords: Mapping[str, str] | None = None,
    administrator: str | None = None,
    salt_of: Callable[[str], bytes] = lambda _: secrets.token_bytes(_SALT_BYTES),
) -> dict[str, Any]:
    """Return the definitions of a virtual host, with a user for each service and one for each owner of batches.

    `administrator`: a user who may do everything. RabbitMQ makes none by itself when it loads definitions at its first
    start. `salt_of` returns four bytes for the password of a user.
    """
    users = {**USERS, **{owner: client_rights(owner) for owner in owners}}
    if administrator is not None:
        users[administrator] = Rights(_ANYTHING, _ANYTHING, _ANYTHING)
    known = passwords or {}
    queues = [one for queue in topology.QUEUES for one in (queue, queue.dead_queue()) if one is not None]
    return {
        "users": [
            _user(name, known.get(name), salt_of, tags="administrator" if name == administrator else "")
            for name in users
        ],
        "vhosts": [{"name": vhost}],
        "permissions": [_permission(name, vhost, rights) for name, rights in users.items()],
        "topic_permissions": [
            {"user": name, "vhost": vhost, "exchange": exchange, "write": topic.write, "read": topic.read}
            for name, rights in users.items()
            for exchange, topic in rights.topics.items()
        ],
        "exchanges": [
            {"name": name, "vhost": vhost, "type": kind, "durable": True, "auto_delete": False, "internal": False,
             "arguments": {}}
            for name, kind in topology.EXCHANGES.items()
        ],
        "queues": [
            {"name": queue.name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": queue.arguments()}
            for queue in queues
        ],
        "bindings": [binding for queue in queues for binding in _bindings(queue, vhost)],
    }  # fmt: skip


def password_hash(password: str, salt: bytes) -> str:
    """Return the hash of a password as RabbitMQ stores it: salt and SHA-256 of salt and password, in Base64."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _user(name: str, password: str | None, salt_of: Callable[[str], bytes], *, tags: str) -> dict[str, Any]:
    return {
        "name": name,
        "password_hash": password_hash(password, salt_of(name)) if password else "",
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": tags,
    }


def _permission(user: str, vhost: str, rights: Rights) -> dict[str, Any]:
    return {
        "user": user,
        "vhost": vhost,
        "configure": rights.configure,
        "write": rights.write,
        "read": rights.read,
    }


def _bindings(queue: Queue, vhost: str) -> list[dict[str, Any]]:
    return [
        {
            "source": binding.exchange,
            "vhost": vhost,
            "destination": queue.name,
            "destination_type": "queue",
            "routing_key": binding.routing_key,
            "arguments": {},
        }
        for binding in queue.bindings
    ]
