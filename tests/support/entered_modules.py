"""Names the modules of a service that a message enters, so that a test can keep its path short."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

SERVICES = Path(__file__).parents[2] / "services"


@contextmanager
def entered_modules(service: str, *tasks: str) -> Iterator[set[str]]:
    """Collect the modules of a service, by path, whose functions run inside the block, here or in a new task or thread.

    The domain is left out: its pure functions and values are read where they are used, like those of a library. So is
    `app.py`, which only wires the components, and so are tasks that ran before, such as a cleanup that is due, except
    for the named `tasks`, which handle the message.
    """
    folder, found = f"{SERVICES / service}/", set[str]()
    ours = {asyncio.current_task(), *(task for task in asyncio.all_tasks() if task.get_name() in tasks)}
    background = asyncio.all_tasks() - ours

    def record(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(folder) and code.co_name != "<module>":
            module = code.co_filename.removeprefix(folder)
            if not module.startswith(("domain/", "app.py")) and _task() not in background:
                found.add(module)

    previous = sys.getprofile()
    sys.setprofile(record)
    threading.setprofile(record)
    try:
        yield found
    finally:
        sys.setprofile(previous)
        threading.setprofile(None)


def _task() -> asyncio.Task[Any] | None:
    """Return the current task; None in a thread or a callback."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
