"""Definitions for RabbitMQ: everything of the topology is in them, and each user with its rights."""

import base64
import hashlib
import re

import pytest

from batchyard_contracts.broker_rights import DEFAULT_EXCHANGE, USERS, Rights, client_rights
from batchyard_contracts.definitions import definitions, password_hash
from batchyard_contracts.topology import COMMANDS, EVENTS, EXCHANGES, QUEUES, REPLIES, Queue, reply_queue


def test_a_password_is_hashed_as_the_broker_does() -> None:
    salt = bytes.fromhex("908dc60a")  # the example of RabbitMQ's guide on passwords
    assert password_hash("test12", salt) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert base64.b64decode(password_hash("x", salt))[4:] == hashlib.sha256(salt + b"x").digest()


def test_every_exchange_queue_and_binding_is_defined() -> None:
    found = definitions("yard")
    assert {one["name"] for one in found["exchanges"]} == set(EXCHANGES)
    queues = {one["name"]: one["arguments"] for one in found["queues"]}
    for queue in QUEUES:
        assert queues[queue.name] == queue.arguments()
        if dead := queue.dead_queue():
            assert queues[dead.name] == dead.arguments()
    bound = {(one["source"], one["routing_key"], one["destination"]) for one in found["bindings"]}
    assert bound >= {(b.exchange, b.routing_key, queue.name) for queue in QUEUES for b in queue.bindings}
    assert {one["vhost"] for part in ("exchanges", "queues", "bindings", "permissions") for one in found[part]} == {
        "yard"
    }


def test_each_user_has_rights_and_only_those_with_a_password_one() -> None:
    found = definitions("yard", owners=["ann"], passwords={"ann": "secret", "ingest": "other"})
    names = {*USERS, "ann"}
    assert {one["name"] for one in found["users"]} == names
    assert {one["user"] for one in found["permissions"]} == names
    assert {one["name"] for one in found["users"] if one["password_hash"]} == {"ann", "ingest"}
    assert {one["tags"] for one in found["users"]} == {""}


def test_two_definitions_have_different_salts() -> None:
    first, second = (definitions("yard", passwords={"ingest": "x"})["users"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize("user", USERS)
def test_every_pattern_is_anchored(user: str) -> None:
    rights = USERS[user]
    patterns = [rights.configure, rights.write, rights.read]
    patterns += [pattern for topic in rights.topics.values() for pattern in (topic.write, topic.read)]
    for pattern in patterns:
        assert re.compile(pattern)
        assert pattern.startswith("^")
        assert pattern.endswith("$")


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_each_queue_is_consumed_by_its_service_alone(queue: Queue) -> None:
    readers = {user for user, rights in USERS.items() if re.match(rights.read, queue.name)}
    assert readers == {queue.name.partition(".")[0], "topology"}
    assert not re.match(client_rights("ann").read, queue.name)


@pytest.mark.parametrize("rights", [USERS["worker"], client_rights("ann")], ids=["worker", "client"])
def test_workers_and_clients_write_into_no_queue_by_its_name(rights: Rights) -> None:
    assert not re.match(rights.write, DEFAULT_EXCHANGE)
    for queue in QUEUES:
        assert not re.match(rights.write, queue.name)


def test_everybody_hears_its_own_replies_only() -> None:
    askers = {user: rights.topics[REPLIES].read for user, rights in USERS.items() if REPLIES in rights.topics}
    askers["ann"] = client_rights("ann").topics[REPLIES].read.replace("{username}", "ann")
    assert {"ingest", "worker", "ann"} <= askers.keys()
    for asker, pattern in askers.items():
        assert {other for other in askers if re.match(pattern, reply_queue(other, "0af"))} == {asker}
        assert not any(re.match(pattern, reply_queue(asker, wild)) for wild in ("*", "#", "a.*"))


def test_the_name_of_an_owner_is_no_pattern() -> None:
    assert not re.match(client_rights("a.b").configure, "batchyard.client.aXb.inbox")


def test_a_client_sends_commands_and_hears_events_of_its_own_only() -> None:
    topics = client_rights("ann").topics
    assert re.match(topics[COMMANDS].write, "batch.submit.v1")
    assert not re.match(topics[COMMANDS].write, "batch.submit.v1.x")
    heard = topics[EVENTS].read.replace("{username}", "ann")
    assert re.match(heard, "batch.finished.v1.count-words.ann")
    assert re.match(heard, "batch.rejected.v1.unknown.ann")
    assert not re.match(heard, "batch.finished.v1.count-words.bob")
    assert not re.match(heard, "#")
