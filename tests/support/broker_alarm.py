"""RabbitMQ's memory alarm, which blocks every connection that publishes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from devstack import Stack, default_home
from devstack.private import PrivateServer
from devstack.rabbitmq import RabbitMQ


@asynccontextmanager
async def memory_alarm() -> AsyncIterator[None]:
    """Raise the alarm of this checkout's own broker, and clear it at the end."""
    stack = Stack(default_home(), print)
    await stack.start()
    server = stack._started("rabbitmq")
    if not isinstance(server, PrivateServer) or not isinstance(server._recipe, RabbitMQ):
        pytest.skip("The broker is not ours to alarm.")
    ports = server._record().ports
    watermark = ("set_vm_memory_high_watermark", "absolute")
    await server._recipe._control(ports, *watermark, "1MB")
    try:
        yield
    finally:
        await server._recipe._control(ports, *watermark, "1GB")
