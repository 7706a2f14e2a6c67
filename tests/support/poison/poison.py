"""A workload some of whose items end the process that runs them. Each run of an item leaves a line in a file."""

import asyncio
import os
import signal
import time
from typing import Literal

from pydantic import BaseModel

from batchyard_contracts.workload import Context, Workload

RUNS = "POISON_RUNS"
"""The variable that names the file."""
_BLOCK = 8 * 2**20


class Item(BaseModel):
    """How long to work, and how to end."""

    nap_s: float = 0.02
    ends: Literal["well", "exit", "segfault", "eat", "hang"] = "well"


class Done(BaseModel):
    """It ended well."""


workload = Workload("poison", version="1", item=Item, result=Done, concurrency=4, item_timeout_s=30.0)


@workload.handler
async def run(item: Item, context: Context) -> Done:
    """Leave a line, work, and end."""
    note(f"{context.batch_id} {context.ordinal} {os.getpid()} {os.getppid()}")
    await asyncio.sleep(item.nap_s)
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
