"""A workload whose handlers run in processes of their own, which import this module by name."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from pydantic import BaseModel

from batchyard_contracts.workload import Context, Continuation, Limits, Permanent, Workload


class Deed(BaseModel):
    """Action that the handler takes in its process."""

    what: str = "answer"
    file: str = ""


class Done(BaseModel):
    """Process that took the action, and the value that it was given."""

    pid: int
    key: str
    state: str | None = None


one_by_one = Workload("deeds", version="1", item=Deed, result=Done, limits=Limits(concurrency=2, item_timeout_s=30))
by_chunk = Workload("deeds-by-chunk", version="1", item=Deed, result=Done, limits=Limits(item_timeout_s=30))


@one_by_one.handler(cpu_bound=True)
def do(deed: Deed, context: Context) -> Done | Continuation:
    """Take one action."""
    if deed.file:
        Path(deed.file).write_text(str(os.getpid()), "utf-8")
    match deed.what:
        case "exit":
            os._exit(3)
        case "sys.exit":
            sys.exit(1)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "sleep":
            time.sleep(60)
        case "refuse":
            raise Permanent("no_such_thing", "Look elsewhere.")
        case "later" if context.state is None:
            return Continuation(state="begun", delay_s=3)
    return Done(pid=os.getpid(), key=context.idempotency_key, state=str(context.state))


@by_chunk.chunk_handler(cpu_bound=True)
def do_all(deeds: list[Deed], contexts: list[Context]) -> list[Done | Continuation | Exception]:
    """Take each action in turn."""
    return [do(deed, context) for deed, context in zip(deeds, contexts, strict=True)]
