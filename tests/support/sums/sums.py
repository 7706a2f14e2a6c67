"""A workload whose summary adds up its results, and may be held up or break at one of them."""

import os
import time
from pathlib import Path

from pydantic import BaseModel

from batchyard_contracts.workload import Chunking, Context, ItemInfo, Permanent, Workload


class Item(BaseModel):
    """A number; in the first round it may fail. Its result may spoil the summary, or hold it up: a file named
    `<gate>.<process>` appears, and the summary goes on when there is one named `<gate>`."""

    n: int
    fails_at_first: bool = False
    spoils: bool = False
    gate: str | None = None


class Sum(BaseModel):
    """The sum of all numbers and their count."""

    sum: int
    numbers: int
    in_order: bool


workload = Workload("sums", version="1", item=Item, result=Item, chunking=Chunking(max=500))


@workload.handler
async def run(item: Item, context: Context) -> Item:
    """Give the number back."""
    if item.fails_at_first and context.round == 1:
        raise Permanent("not_yet")
    return item


@workload.summary
class Adding:
    """Keeps three numbers."""

    def __init__(self) -> None:
        self._sum, self._numbers, self._last, self._in_order = 0, 0, -1, True

    def add(self, result: Item, item: ItemInfo) -> None:
        """Take a number."""
        if result.gate:
            Path(f"{result.gate}.{os.getpid()}").touch()
            while not Path(result.gate).exists():
                time.sleep(0.01)
        if result.spoils:
            raise ValueError("spoilt")
        self._in_order = self._in_order and item.ordinal > self._last
        self._sum, self._numbers, self._last = self._sum + result.n, self._numbers + 1, item.ordinal

    def finish(self) -> Sum:
        """The sum."""
        return Sum(sum=self._sum, numbers=self._numbers, in_order=self._in_order)
