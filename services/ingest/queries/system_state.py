"""State of services and servers: who consumes the queues of each service, and which servers answer."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aio_pika.abc import AbstractRobustConnection

from batchyard_contracts import topology
from services.ingest.persistence.workload_registry import WorkloadRegistry
from shared.messaging.delivery import CHANNEL_LOST
from shared.messaging.queue_depth import QueueState, queue_states
from shared.redis.client import RedisClient

_KEPT_S = 3.0
"""Seconds for which one look serves all requests."""
_TIMEOUT_S = 2.0
_QUEUES = {
    "ingest": topology.INGEST_COMMANDS,
    "dispatcher": topology.DISPATCHER_CONTROL,
    "aggregator": topology.AGGREGATOR_CONTROL,
    "notifier": topology.NOTIFIER_INBOX,
}
"""A queue of each service, which it consumes as long as it works."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """A service: its processes that consume its queue, and the messages that wait there."""

    name: str
    consumers: int
    messages: int


@dataclass(frozen=True, slots=True)
class SystemReport:
    """State of services and servers at one moment."""

    services: Sequence[ServiceState] | None
    """None: RabbitMQ does not tell."""
    has_redis: bool
    dead_letters: dict[str, int]
    """Number of dead letters by queue, without those that have none."""


class SystemState:
    """Looks at the queues and servers, at most every few seconds."""

    def __init__(self, connection: AbstractRobustConnection, redis: RedisClient, registry: WorkloadRegistry) -> None:
        self._connection, self._redis, self._registry = connection, redis, registry
        self._report: SystemReport | None = None
        self._looked_at = 0.0
        self._looking = asyncio.Lock()

    async def report(self) -> SystemReport:
        """Return the state of at most three seconds ago."""
        async with self._looking:
            if self._report is None or time.monotonic() - self._looked_at >= _KEPT_S:
                self._report, self._looked_at = await self._look(), time.monotonic()
            return self._report

    async def _look(self) -> SystemReport:
        work_queues = [queue for each in self._registry.all() for queue in topology.work_queues(each.manifest.name)]
        dead = {queue.name: found.name for queue in (*topology.QUEUES, *work_queues) if (found := queue.dead_queue())}
        has_redis = bool(await self._redis.attempt(self._redis.client.ping(), fallback=False))
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                states = await queue_states(self._connection, [*(q.name for q in _QUEUES.values()), *dead.values()])
        except (*CHANNEL_LOST, OSError, TimeoutError):
            return SystemReport(None, has_redis, {})
        return SystemReport(
            [_service(name, states.get(queue.name)) for name, queue in _QUEUES.items()],
            has_redis,
            {name: state.messages for name, queue in dead.items() if (state := states.get(queue)) and state.messages},
        )


def _service(name: str, state: QueueState | None) -> ServiceState:
    return ServiceState(name, state.consumers, state.messages) if state else ServiceState(name, 0, 0)
