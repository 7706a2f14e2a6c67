"""Tells whether workers of a workload live, and whether one makes its summaries."""

from aio_pika.abc import AbstractRobustConnection

from batchyard_contracts import topology
from batchyard_contracts.v1.queries import WorkersQuery, WorkersReply
from shared.messaging.queue_depth import queue_state
from shared.messaging.rpc_client import RpcClient
from shared.runtime.errors import PublishFailed, QueryRefused, QueryTimeout

_TIMEOUT_S = 2.0
"""Seconds that the dispatcher may take to answer; meanwhile the row of the batch is locked."""


class SummaryWorkers:
    """The workers that make summaries, by the consumers of their queues."""

    def __init__(self, connection: AbstractRobustConnection, rpc_client: RpcClient) -> None:
        self._connection, self._rpc_client = connection, rpc_client

    async def has_consumer(self, workload: str) -> bool:
        """Tell whether a worker consumes the summary requests of a workload. Raises `ConnectionError` while RabbitMQ is
        unreachable."""
        state = await queue_state(self._connection, topology.summary_queue(workload).name)
        return state is not None and state.consumers > 0

    async def run(self, workload: str) -> bool:
        """Tell whether workers of a workload live. False while that is unknown."""
        try:
            reply = await self._rpc_client.query(WorkersQuery(), WorkersReply, timeout_s=_TIMEOUT_S)
        except (QueryTimeout, QueryRefused, PublishFailed):
            return False
        return any(workload in worker.workloads and not worker.stopping for worker in reply.workers)
