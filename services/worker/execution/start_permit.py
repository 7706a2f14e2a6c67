"""Asks the dispatcher for a permit before an item starts that must not run twice.

From then on no other worker gets the item: if this worker is lost, it fails as `needs_review`. A worker that was
declared lost, but still runs, is denied here before it does anything twice.
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
    """Client of the dispatcher's start permits."""

    def __init__(self, rpc_client: RpcClient, worker_id: str) -> None:
        self._rpc_client, self._worker_id = rpc_client, worker_id

    async def request(self, chunk: ChunkHead, ordinals: Sequence[int]) -> bool:
        """Return True when the items may start, False when another worker holds the chunk. Waits for an answer."""
        query = StartPermitQuery(
            chunk_id=chunk.chunk_id, fence=chunk.fence, worker_id=self._worker_id, ordinals=list(ordinals)
        )

        async def attempt() -> bool:
            try:
                return (await self._rpc_client.query(query, StartPermitReply, timeout_s=_TIMEOUT_S)).granted
            except (QueryTimeout, QueryRefused) as error:
                raise TimeoutError(str(error)) from error  # transient: the query is repeated until a dispatcher answers

        return await retry_transient(attempt, "leave to begin")


class ChunkPermits:
    """Start permits of one chunk. Items that ask while a query is under way share the next query."""

    def __init__(self, client: StartPermitClient, chunk: ChunkHead) -> None:
        self._client, self._chunk = client, chunk
        self._requested: set[int] = set()
        self._request_lock = asyncio.Lock()
        self.denied = False
        """True when another worker holds the chunk: none of its items may start any more."""

    async def request(self, ordinals: Sequence[int]) -> bool:
        """Return True when the items may start."""
        self._requested.update(ordinals)
        async with self._request_lock:
            await asyncio.sleep(0)  # items that arrive meanwhile are part of the next query
            requested, self._requested = self._requested, set()
            if requested and not self.denied:
                try:
                    self.denied = not await self._client.request(self._chunk, sorted(requested))
                except BaseException:
                    self._requested |= requested
                    raise
        return not self.denied
