"""Asks the dispatcher before an item begins whose run must not be repeated.

From the answer on the item is given to nobody else: if this worker is lost, it fails as `needs_review`. A worker that
was taken for lost, and is not, learns it here, before it does anything twice.
"""

import asyncio
from collections.abc import Sequence

from batchyard_contracts.v1.queries import StartPermitQuery, StartPermitReply
from batchyard_contracts.v1.work import ChunkHead
from shared.messaging.rpc_client import RpcClient
from shared.runtime.errors import QueryRefused, QueryTimeout
from shared.runtime.transient import retry_transient

_TIMEOUT_S = 5.0


class StartPermitClient:
    """Leave to begin items, got from the dispatcher."""

    def __init__(self, rpc_client: RpcClient, worker_id: str) -> None:
        self._rpc_client, self._worker_id = rpc_client, worker_id

    async def request(self, chunk: ChunkHead, ordinals: Sequence[int]) -> bool:
        """Whether they may begin; waits as long as nobody answers. False: the chunk is another worker's by now."""
        query = StartPermitQuery(
            chunk_id=chunk.chunk_id, fence=chunk.fence, worker_id=self._worker_id, ordinals=list(ordinals)
        )

        async def attempt() -> bool:
            try:
                return (await self._rpc_client.query(query, StartPermitReply, timeout_s=_TIMEOUT_S)).granted
            except (QueryTimeout, QueryRefused) as error:
                raise TimeoutError(str(error)) from error  # it passes: a dispatcher that answers takes over

        return await retry_transient(attempt, "leave to begin")


class ChunkPermits:
    """The same for one chunk: who asks while a question is under way shares the next one."""

    def __init__(self, client: StartPermitClient, chunk: ChunkHead) -> None:
        self._client, self._chunk = client, chunk
        self._requested: set[int] = set()
        self._request_lock = asyncio.Lock()
        self.denied = False
        """The chunk is another worker's: nothing of it is to begin any more."""

    async def request(self, ordinals: Sequence[int]) -> bool:
        """Whether they may begin."""
        self._requested.update(ordinals)
        async with self._request_lock:
            await asyncio.sleep(0)  # those that come now are asked for, too
            requested, self._requested = self._requested, set()
            if requested and not self.denied:
                try:
                    self.denied = not await self._client.request(self._chunk, sorted(requested))
                except BaseException:
                    self._requested |= requested
                    raise
        return not self.denied
