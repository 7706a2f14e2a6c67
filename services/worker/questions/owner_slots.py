"""Slots for questions, which owners share, so that one who asks much keeps no other waiting."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from batchyard_contracts.topology import QUERY_TTL_MS
from services.worker.questions.limits import QuestionRefused
from shared.runtime.owner_lines import OwnerLines

PATIENCE_S = QUERY_TTL_MS / 1000
"""Longest time in seconds that a question waits for a slot, as in the broker. Its sender has gone by then."""


class OwnerSlots:
    """Slots of one question in this worker: of those that wait one of each owner has its turn after another's."""

    def __init__(self, slots: int, per_owner: int) -> None:
        """`slots`: questions that run at once. `per_owner`: questions of one client that run or wait; questions of
        services have their limit in ingest."""
        self._free, self._per_owner = slots, per_owner
        self._lines: OwnerLines[asyncio.Future[None]] = OwnerLines()
        self._counts: Counter[str] = Counter()

    @asynccontextmanager
    async def take(self, owner: str | None) -> AsyncIterator[None]:
        """Hold a slot for a question of an owner; None: a service asks. Raises `QuestionRefused`."""
        name = owner or ""
        if owner is not None and self._counts[name] >= self._per_owner:
            raise QuestionRefused(
                "too_many_questions",
                f"You have asked {self._per_owner} questions of this kind that are not answered yet, which is the "
                "limit. Ask again when one is answered.",
                "request",
            )
        self._counts[name] += 1
        try:
            await self._wait(name)
            try:
                yield
            finally:
                self._release()
        finally:
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]

    async def _wait(self, owner: str) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.add(owner, turn)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it was given a slot at the same moment
                self._release()
            if isinstance(error, TimeoutError):
                message = "Others have asked so much that nobody could answer in time. Ask again later."
                raise QuestionRefused("timeout", message) from error
            raise

    def _release(self) -> None:
        while self._lines:
            turn = self._lines.take()
            if not turn.done():  # else nobody waits for it any more
                turn.set_result(None)
                return
        self._free += 1
