"""Workloads some of whose items end the process that runs them; `paid` must not run twice. Each run of an item leaves a
line in a file."""

import asyncio
import os
import signal
import time
from typing import Literal, cast

from pydantic import BaseModel

from batchyard_contracts.workload import Context, Continuation, Limits, Permanent, Retry, Workload

RUNS = "POISON_RUNS"
"""The variable that names the file."""
POLL_S = 0.5
_BLOCK = 8 * 2**20


class Item(BaseModel):
    """Time to work, polls until the result is there, and the way to end."""

    nap_s: float = 0.02
    polls: int = 0
    ends: Literal["well", "exit", "segfault", "eat", "hang"] = "well"


class Done(BaseModel):
    """The result of an item that ended well."""


workload = Workload("poison", version="1", item=Item, result=Done, limits=Limits(concurrency=4, item_timeout_s=30.0))

paid = Workload(
    "paid",
    version="1",
    item=Item,
    result=Done,
    limits=Limits(concurrency=4, item_timeout_s=30.0),
    retry=Retry(repeatable=lambda _, context: context.state is not None),
)


@paid.handler
@workload.handler
async def run(item: Item, context: Context) -> Done | Continuation:
    """Leave a line, work, and end. With polls, the work goes on elsewhere, and is asked for no sooner than it said."""
    asked, due = cast("tuple[int, float]", context.state or [0, 0.0])
    note(f"{context.batch_id} {context.ordinal} {os.getpid()} {os.getppid()} {asked}")
    if time.time() < due - 0.01:
        raise Permanent("too_early")
    await asyncio.sleep(item.nap_s)
    if asked < item.polls:
        return Continuation([asked + 1, time.time() + POLL_S], POLL_S)
    if item.ends == "exit":
        os._exit(3)
    elif item.ends == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif item.ends == "eat":
        eat(600 * 2**20)
    elif item.ends == "hang":
        time.sleep(1000)  # noqa: ASYNC251
    return Done()


def note(line: str) -> None:
    """In one write, so that lines of several processes do not mix, and no death loses one."""
    file = os.open(os.environ[RUNS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)


def eat(most: int) -> None:
    """Take memory until the kernel ends the process, which it does here at a bound."""
    taken = []
    for _ in range(0, most, _BLOCK):
        taken.append(b"x" * _BLOCK)
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)
