"""The workload `noop`: squares a number, after a delay if requested; for measurements and first steps."""

import asyncio
from typing import Annotated

from pydantic import BaseModel, Field

from batchyard_contracts.v1.values import ErrorCode, RetryRule
from batchyard_contracts.workload import Chunking, Context, Limits, Permanent, Retry, Transient, Workload


class Item(BaseModel):
    """Number to square, with the delay and the error to produce."""

    n: Annotated[int, Field(ge=-(10**9), le=10**9)]
    sleep_s: Annotated[float, Field(ge=0, le=600)] = 0.0
    fail: ErrorCode | None = None
    """Error code with which the item fails for good; None: it does not."""
    fail_attempts: Annotated[int, Field(ge=0, le=100)] = 0
    """Number of attempts that fail with a transient error before one succeeds."""


class Squared(BaseModel):
    """Square of the number."""

    n: int


workload = Workload(
    "noop",
    version="1",
    item=Item,
    result=Squared,
    title="No operation",
    description="Squares a number. For measuring and trying out.",
    chunking=Chunking(max=1000, target_s=0.5),
    limits=Limits(concurrency=100),
    retry=Retry({"default": RetryRule(attempts=4, base_s=0.1, cap_s=2.0)}),
    example={"n": 7},
)


@workload.handler
async def run(item: Item, context: Context) -> Squared:
    """Sleep, then fail or return the square, as the item asks."""
    if item.sleep_s:
        await asyncio.sleep(item.sleep_s)
    if item.fail is not None:
        raise Permanent(item.fail, "asked for")
    if context.attempt <= item.fail_attempts:
        raise Transient("requested_failure", f"attempt {context.attempt} of {item.fail_attempts} that fail")
    return Squared(n=item.n * item.n)
