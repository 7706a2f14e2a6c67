"""Taskiq on RabbitMQ: persistent, confirmed messages, acknowledged when the result is saved; results in Redis.

It has neither a bulk path nor an end of a batch: many sends at once, and a wait for each result.
"""

import asyncio

import uvloop
from taskiq.serializers import ORJSONSerializer  # type: ignore[import-not-found]  # in an environment of its own
from taskiq_aio_pika import AioPikaBroker  # type: ignore[import-not-found]
from taskiq_aio_pika.exchange import Exchange  # type: ignore[import-not-found]
from taskiq_aio_pika.queue import Queue, QueueType  # type: ignore[import-not-found]
from taskiq_redis import RedisAsyncResultBackend  # type: ignore[import-not-found]

from benchmarks.peers.submitter import AMQP_URL, NAP_S, QUEUE, REDIS_URL, Clock, Ran, serve_async

_END_S = 900
_SENDS = 500
_WAITS = 10
broker = AioPikaBroker(
    AMQP_URL,
    result_backend=RedisAsyncResultBackend(REDIS_URL, max_connection_pool_size=20, serializer=ORJSONSerializer()),
    qos=50,
    exchange=Exchange(name=f"{QUEUE}.x"),
    task_queues=[Queue(name=QUEUE, type=QueueType.CLASSIC)],
    dead_letter_queue=Queue(name=f"{QUEUE}.dead", type=QueueType.CLASSIC),
).with_serializer(ORJSONSerializer())


async def square(n: int) -> dict[str, int]:
    """The trivial item."""
    return {"n": n * n}


async def nap(n: int) -> dict[str, int]:
    """The item that takes a while."""
    await asyncio.sleep(NAP_S)
    return {"n": n * n}


# Named, for the submitter runs this file as a program and a worker as a module.
_TASKS = {function.__name__: broker.task(task_name=function.__name__)(function) for function in (square, nap)}


async def batch(kind: str, items: int) -> Ran:
    """Run a batch to its end."""
    task, clock = _TASKS[kind], Clock()
    sent = []
    for start in range(0, items, _SENDS):
        sent += await asyncio.gather(*(task.kiq(n) for n in range(start, min(items, start + _SENDS))))
    clock.mark_submitted()
    turns = asyncio.Semaphore(_WAITS)
    pause_s = 0.005 if items == 1 else 0.05

    async def result(of: object) -> int:
        async with turns:
            found = await of.wait_result(check_interval=pause_s, timeout=_END_S)  # type: ignore[attr-defined]
        return int(found.return_value["n"])

    values = await asyncio.gather(*map(result, sent))
    clock.mark_ended()
    return clock, len(values), sum(values)


async def batches(number: int, items: int) -> Ran:
    """Run many small batches side by side: it knows no batch, so each is as many tasks as it has items."""
    task, clock = _TASKS["square"], Clock()
    sent = []
    for start in range(0, number, _SENDS // items):
        some = range(start, min(number, start + _SENDS // items))
        sent += await asyncio.gather(*(task.kiq(n) for _ in some for n in range(items)))
    clock.mark_submitted()
    turns = asyncio.Semaphore(_WAITS)

    async def result(of: object) -> int:
        async with turns:
            found = await of.wait_result(check_interval=0.05, timeout=_END_S)  # type: ignore[attr-defined]
        return int(found.return_value["n"])

    values = await asyncio.gather(*map(result, sent))
    clock.mark_ended()
    return clock, len(values), sum(values)


async def submit() -> None:
    """Serve the runner's questions."""
    await broker.startup()
    await serve_async(batch, batches)


if __name__ == "__main__":
    uvloop.run(submit())
