"""A service whose account lacks a right in RabbitMQ says which one, is not ready, and works once it has it."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from yarl import URL

from batchyard_contracts.definitions import password_hash
from batchyard_contracts.topology import FLOW, NOTIFIER_INBOX
from batchyard_contracts.v1.flow import NotificationRequested, NotifierAnnounced
from devstack import Servers
from services.worker.control.control_listener import ControlListener
from shared.messaging.batch_consumer import BatchConsumer
from shared.messaging.connection import connect
from shared.messaging.consumer import Consumer
from shared.messaging.message_router import Route
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.topology import declare
from shared.runtime.health import Health
from shared.runtime.transient import retry_transient
from tests.support.patience import PATIENCE_S, until_true
from tests.support.servers import IsolatedServers

USER, PASSWORD, NOTHING = "novice", secrets.token_hex(16), "^$"
QUEUE = NOTIFIER_INBOX.name
REFUSED_QUEUE, REFUSED_EXCHANGE = f"queue '{QUEUE}'", f"exchange '{FLOW}'"


class Novice:
    """A user of RabbitMQ with the rights that a test gives it."""

    def __init__(self, isolated: IsolatedServers, servers: Servers, file: Path) -> None:
        url = URL(servers.amqp_url)
        self.url = str(url.with_user(USER).with_password(PASSWORD))
        self._vhost = unquote(url.raw_path.removeprefix("/"))
        self._isolated, self._file = isolated, file

    def set_rights(self, *, configure: str = NOTHING, write: str = NOTHING, read: str = NOTHING) -> None:
        user = {
            "name": USER,
            "password_hash": password_hash(PASSWORD, b"salt"),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": "",
        }
        rights = {"user": USER, "vhost": self._vhost, "configure": configure, "write": write, "read": read}
        self._file.write_text(json.dumps({"users": [user], "permissions": [rights]}))
        self._isolated.import_definitions(self._file)


@pytest.fixture
def novice(shared_servers: IsolatedServers, servers: Servers, tmp_path: Path) -> Novice:
    """The user, who may do nothing yet; the queues are there."""
    asyncio.run(_declare(servers))
    found = Novice(shared_servers, servers, tmp_path / "novice.json")
    found.set_rights()
    return found


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as found:
        yield found


async def _declare(servers: Servers) -> None:
    connection = await connect(servers.amqp_url, "test")
    try:
        await declare(connection)
    finally:
        await connection.close()


def complaint(logs: list[EventDict], about: str) -> Callable[[], EventDict | None]:
    """Return a condition: the log says that the user lacks the right to something, and what to do."""
    return lambda: next(
        (one for one in logs if about in one.get("error", "") and f"'{USER}'" in one["error"] and "advice" in one), None
    )


async def ignore(*_: Any) -> None:
    """Handle a message by doing nothing."""


async def test_a_consumer_of_single_messages_names_the_queue_that_it_may_not_read(
    novice: Novice, servers: Servers, logs: list[EventDict]
) -> None:
    publisher = await Publisher.open(servers.amqp_url, "test")
    consumer = Consumer(novice.url, publisher, "test")
    consumer.subscribe(NOTIFIER_INBOX, [Route(NotificationRequested, ignore)])
    starting = asyncio.create_task(consumer.start())
    try:
        found = await until_true(complaint(logs, REFUSED_QUEUE))
        assert found is not None
        assert (found["event"], found["log_level"]) == ("the account lacks a right", "error")
        assert "batchyard rights" in found["advice"]
        assert not any(one["event"] == "waiting for a server" and REFUSED_QUEUE in one["error"] for one in logs)
        assert not consumer.is_working

        await asyncio.to_thread(novice.set_rights, read=f"^{QUEUE}$")
        await starting
        await until_true(lambda: consumer.is_working)
    finally:
        await consumer.stop()
        await publisher.close()


async def test_a_consumer_of_batches_names_the_queue_that_it_may_not_read(
    novice: Novice, servers: Servers, logs: list[EventDict]
) -> None:
    publisher = await Publisher.open(servers.amqp_url, "test")
    connection = await connect(novice.url, "test")
    pulse = Health().pulse("test")
    consumer = BatchConsumer(connection, publisher, NOTIFIER_INBOX, [NotificationRequested], ignore, pulse)
    running = asyncio.create_task(consumer.run())
    try:
        found = await until_true(complaint(logs, REFUSED_QUEUE))
        assert found is not None
        assert (found["event"], found["log_level"]) == ("background task failed", "error")
    finally:
        consumer.stop()
        await running
        await connection.close()
        await publisher.close()


async def test_a_sender_names_the_exchange_to_which_it_may_not_publish(novice: Novice, logs: list[EventDict]) -> None:
    publisher = await Publisher.open(novice.url, "test")
    message = outgoing(FLOW, NotifierAnnounced(emails=False, webhooks=False, started_at=datetime.now(UTC)))
    sending = asyncio.create_task(retry_transient(lambda: publisher.publish([message]), "announcement"))
    try:
        assert await until_true(complaint(logs, REFUSED_EXCHANGE))
        await asyncio.to_thread(novice.set_rights, write=f"^{FLOW}$")
        async with asyncio.timeout(PATIENCE_S):
            await sending
    finally:
        sending.cancel()
        await publisher.close()


async def test_a_worker_waits_for_the_right_to_hear_commands(novice: Novice, logs: list[EventDict]) -> None:
    own = r"worker\.control\..*"
    await asyncio.to_thread(novice.set_rights, configure=own, write=own, read=own)
    connection = await connect(novice.url, "test")
    starting = asyncio.create_task(ControlListener([]).start(connection))
    try:
        assert await until_true(complaint(logs, REFUSED_EXCHANGE))
        await asyncio.to_thread(novice.set_rights, configure=own, write=own, read=f"^({own}|{FLOW})$")
        async with asyncio.timeout(PATIENCE_S):
            await starting
    finally:
        starting.cancel()
        await connection.close()
