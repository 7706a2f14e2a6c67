"""Celery with durable settings: persistent and confirmed messages, late acks, every result kept in Redis.

The batch is a chord, whose end Celery counts in Redis. Variant `chunks` makes one task, and one result, of many items.
Variant `quorum` has quorum queues, as Batchyard has, in place of the classic queues that Celery declares by itself.
"""

import time
from typing import Any

from celery import Celery, chord, group  # type: ignore[import-not-found]  # in an environment of its own

from benchmarks.peers.submitter import AMQP_URL, CHUNK, NAP_S, QUEUE, REDIS_URL, VARIANT, Clock, Ran, serve

_END_S = 900
app = Celery("bench", broker=AMQP_URL, backend=REDIS_URL)
app.conf.update(
    task_default_queue=QUEUE,
    task_default_queue_type="quorum" if VARIANT == "quorum" else "classic",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
)


def square(n: int) -> dict[str, int]:
    """The trivial item."""
    return {"n": n * n}


def nap(n: int) -> dict[str, int]:
    """The item that takes a while."""
    time.sleep(NAP_S)
    return {"n": n * n}


def total(results: list[Any]) -> list[int]:
    """The chord's callback, which receives every result; those of `chunks` come in lists."""
    if results and isinstance(results[0], list):
        results = [each for some in results for each in some]
    return [len(results), sum(each["n"] for each in results)]


for function in (square, nap, total):
    app.task(name=function.__name__)(function)


def batch(kind: str, items: int) -> Ran:
    """Run a batch to its end."""
    task, clock = app.tasks[kind], Clock()
    if VARIANT == "chunks" and items > CHUNK:
        header: Any = task.chunks(((n,) for n in range(items)), CHUNK).group()
    else:
        header = [task.s(n) for n in range(items)]
    result = chord(header)(app.tasks["total"].s())
    clock.mark_submitted()
    # By default `get` also walks all results of the header after each event, which takes minutes at 10,000 of them.
    count, added = result.get(timeout=_END_S, follow_parents=False)
    clock.mark_ended()
    return clock, count, added


def batches(number: int, items: int) -> Ran:
    """Run many small batches side by side, as a program would: a task for one item, a group for several."""
    task, clock = app.tasks["square"], Clock()
    if items == 1:
        sent = [task.delay(0) for _ in range(number)]
    else:
        sent = [group(task.s(n) for n in range(items))() for _ in range(number)]
    clock.mark_submitted()
    results = [each.get(timeout=_END_S) for each in sent]
    clock.mark_ended()
    values = [value["n"] for found in results for value in (found if isinstance(found, list) else [found])]
    return clock, len(values), sum(values)


if __name__ == "__main__":
    serve(batch, batches)
