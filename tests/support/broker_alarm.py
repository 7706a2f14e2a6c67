"""RabbitMQ's memory alarm, which blocks every connection that publishes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from devstack import Stack
from devstack.private import PrivateServer
from devstack.rabbitmq import RabbitMQ
from tests.support.servers import whole_cluster_home


@asynccontextmanager
async def memory_alarm() -> AsyncIterator[None]:
    """Raise the alarm of the broker that tests of faults have for themselves, and clear it at the end."""
    stack = Stack(whole_cluster_home(), print)
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
