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


class Leave:
    """Leave to begin items, got from the dispatcher."""

    def __init__(self, questions: RpcClient, worker_id: str) -> None:
        self._questions, self._worker_id = questions, worker_id

    async def of(self, chunk: ChunkHead, ordinals: Sequence[int]) -> bool:
        """Whether they may begin; waits as long as nobody answers. False: the chunk is another worker's by now."""
        question = StartPermitQuery(
            chunk_id=chunk.chunk_id, fence=chunk.fence, worker_id=self._worker_id, ordinals=list(ordinals)
        )

        async def attempt() -> bool:
            try:
                return (await self._questions.ask(question, StartPermitReply, timeout_s=_TIMEOUT_S)).granted
            except (QueryTimeout, QueryRefused) as error:
                raise TimeoutError(str(error)) from error  # it passes: a dispatcher that answers takes over

        return await retry_transient(attempt, "leave to begin")


class ChunkLeave:
    """The same for one chunk: who asks while a question is under way shares the next one."""

    def __init__(self, leave: Leave, chunk: ChunkHead) -> None:
        self._leave, self._chunk = leave, chunk
        self._wanted: set[int] = set()
        self._asking = asyncio.Lock()
        self.refused = False
        """The chunk is another worker's: nothing of it is to begin any more."""

    async def to_begin(self, ordinals: Sequence[int]) -> bool:
        """Whether they may begin."""
        self._wanted.update(ordinals)
        async with self._asking:
            await asyncio.sleep(0)  # those that come now are asked for, too
            wanted, self._wanted = self._wanted, set()
            if wanted and not self.refused:
                try:
                    self.refused = not await self._leave.of(self._chunk, sorted(wanted))
                except BaseException:
                    self._wanted |= wanted
                    raise
        return not self.refused
