"""Spending limit of one batch that is counted in memory, in place of the one in Redis."""

from uuid import UUID


class SpendingLimit:
    """Limit of `most` for all calls together."""

    def __init__(self, most: float) -> None:
        self.most = most
        self.calls: dict[str, float] = {}

    async def reserve(self, _: UUID, call: str, amount: float) -> str:
        if sum((self.calls | {call: amount}).values()) > self.most:
            return "exceeded"
        self.calls[call] = amount
        return "reserved"

    async def settle(self, _: UUID, call: str, amount: float) -> None:
        self.calls[call] = amount
