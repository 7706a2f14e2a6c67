"""A workload whose result has the time at which its item ended, against which progress is measured."""

import asyncio
import time
from typing import Annotated

from pydantic import BaseModel, Field

from batchyard_contracts.workload import Context, Limits, Workload


class Item(BaseModel):
    """Duration in seconds."""

    sleep_s: Annotated[float, Field(ge=0, le=60)]


class Stamped(BaseModel):
    """The last moment of the item, in seconds since 1970."""

    ended_at: float


workload = Workload(
    "stamped", version="1", item=Item, result=Stamped, title="Stamped naps", limits=Limits(concurrency=100)
)


@workload.handler
async def run(item: Item, context: Context) -> Stamped:
    """Nap, then look at the clock."""
    await asyncio.sleep(item.sleep_s)
    return Stamped(ended_at=time.time())
