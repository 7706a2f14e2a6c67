"""Procrastinate: jobs in PostgreSQL, all of a batch in one `batch_defer`; it keeps no results, so its tasks write them.

python -m benchmarks.peers.procrastinate_peer prepare|submit
"""

import asyncio
import itertools
import sys

import procrastinate  # type: ignore[import-not-found]  # in an environment of its own
import uvloop

from benchmarks.peers import rows
from benchmarks.peers.submitter import DATABASE_URL, NAP_S, QUEUE, Clock, Ran, serve_async

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=DATABASE_URL, max_size=10))
results = rows.Rows()


async def square(batch: int, n: int) -> None:
    """The trivial item."""
    await results.save(batch, n, {"n": n * n})


async def nap(batch: int, n: int) -> None:
    """The item that takes a while."""
    await asyncio.sleep(NAP_S)
    await results.save(batch, n, {"n": n * n})


for function in (square, nap):
    app.task(queue=QUEUE, name=function.__name__)(function)


async def submit() -> None:
    """Serve the runner's questions."""
    numbers = itertools.count(1)
    async with app.open_async():

        async def batch(kind: str, items: int) -> Ran:
            number, clock = next(numbers), Clock()
            await app.tasks[kind].batch_defer_async(*({"batch": number, "n": n} for n in range(items)))
            clock.mark_submitted()
            await results.until(number, items)
            clock.mark_ended()
            return clock, *await results.added_up(number)

        await serve_async(batch)


async def prepare() -> None:
    """Make both the jobs' tables and that of the results."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
    await rows.make_table()


if __name__ == "__main__":
    uvloop.run({"prepare": prepare, "submit": submit}[sys.argv[1]]())
