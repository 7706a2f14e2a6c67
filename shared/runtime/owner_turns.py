"""Lets the owners of a process begin their work in turn, so that one who has much to begin keeps no other waiting.

All work of a service shares one event loop, which runs what is ready in the order of arrival: a hundred requests of one
owner would all begin before the next owner's. Here one begins in each pass of the loop, an owner's after another's.
Work that comes while nobody waits begins at once.
"""

import asyncio

from shared.runtime.owner_lines import OwnerLines


class OwnerTurns:
    """The work of all owners that waits for its turn."""

    def __init__(self) -> None:
        self._waiting: OwnerLines[asyncio.Future[None]] = OwnerLines()
        self._is_taken = False
        """True if a turn was given in this pass of the loop."""

    async def take(self, owner: str) -> None:
        """Return when it is the owner's turn."""
        if not self._is_taken:
            self._give_later()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(owner, turn)
        await turn

    def _give_later(self) -> None:
        self._is_taken = True
        asyncio.get_running_loop().call_soon(self._give_next)

    def _give_next(self) -> None:
        self._is_taken = False
        while self._waiting:
            turn = self._waiting.take()
            if not turn.done():  # else its request was cancelled
                turn.set_result(None)
                self._give_later()
                return
