"""Declares the queues of all services and of announced workloads, where these have no right to declare any."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aio_pika.abc import AbstractRobustConnection

from batchyard_contracts.v1.manifest import Manifest
from shared.messaging.connection import connect
from shared.messaging.topology import declare, queues_of


class QueueDeclarations:
    """Declarations by a user of the broker that may make them; without its address nothing is declared."""

    def __init__(self, connection: AbstractRobustConnection | None) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str | None) -> AsyncIterator["QueueDeclarations"]:
        """Connect, without waiting for the broker, until the block ends."""
        connection = await connect(url, "ingest-topology", wait=False) if url else None
        try:
            yield cls(connection)
        finally:
            if connection is not None:
                await connection.close()

    async def declare(self) -> None:
        """Declare the queues of all services, and remove bindings of an earlier version. See `declare_workloads`."""
        if self._connection is not None:
            await declare(self._connection)

    async def declare_workloads(self, manifests: Sequence[Manifest]) -> None:
        """Declare the queues of these workloads. Safe to repeat; waits until the broker is available."""
        if self._connection is not None:
            queues = [queue for manifest in manifests for queue in queues_of(manifest)]
            await declare(self._connection, queues)
