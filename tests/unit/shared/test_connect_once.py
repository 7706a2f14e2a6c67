"""A connection that could not be made is closed."""

from typing import Any

import aio_pika
import pytest
from aio_pika.exceptions import AMQPConnectionError

from shared.messaging.connection import connect_once


async def test_a_failed_connection_is_closed(unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[aio_pika.Connection] = []

    class RecordedConnection(aio_pika.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(aio_pika, "Connection", RecordedConnection)
    with pytest.raises(AMQPConnectionError):
        await connect_once(f"amqp://127.0.0.1:{unused_tcp_port}/", "test")
    assert [connection.is_closed for connection in made] == [True]
