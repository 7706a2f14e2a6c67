"""Dramatiq on RabbitMQ: persistent, confirmed messages, late acks, results in Redis, the end of a group by callback."""

import time
from uuid import uuid4

import dramatiq  # type: ignore[import-not-found]  # in an environment of its own
import redis
from dramatiq.brokers.rabbitmq import RabbitmqBroker  # type: ignore[import-not-found]
from dramatiq.middleware import GroupCallbacks  # type: ignore[import-not-found]
from dramatiq.rate_limits.backends import RedisBackend as Counters  # type: ignore[import-not-found]
from dramatiq.results import Results  # type: ignore[import-not-found]
from dramatiq.results.backends import RedisBackend  # type: ignore[import-not-found]

from benchmarks.peers.submitter import AMQP_URL, NAP_S, QUEUE, REDIS_URL, Clock, Ran, serve

_END_S = 900
broker = RabbitmqBroker(url=AMQP_URL, confirm_delivery=True)
# What comes last here acts first when an item has ended: its result has to be there before the group counts it.
broker.add_middleware(GroupCallbacks(Counters(url=REDIS_URL)))
broker.add_middleware(Results(backend=RedisBackend(url=REDIS_URL), store_results=True, result_ttl=86_400_000))
dramatiq.set_broker(broker)


def square(n: int) -> dict[str, int]:
    """The trivial item."""
    return {"n": n * n}


def nap(n: int) -> dict[str, int]:
    """The item that takes a while."""
    time.sleep(NAP_S)
    return {"n": n * n}


def ended(key: str) -> None:
    """The group's callback: tells the submitter."""
    with redis.Redis.from_url(REDIS_URL) as client:
        client.lpush(key, 1)


for function in (square, nap, ended):
    dramatiq.actor(queue_name=QUEUE)(function)


def batch(kind: str, items: int) -> Ran:
    """Run a batch to its end."""
    actor, key, clock = broker.get_actor(kind), f"ended:{uuid4()}", Clock()
    group = dramatiq.group([actor.message(n) for n in range(items)])
    group.add_completion_callback(broker.get_actor("ended").message(key))
    group.run()
    clock.mark_submitted()
    with redis.Redis.from_url(REDIS_URL, socket_timeout=_END_S + 1) as client:
        if client.blpop([key], timeout=_END_S) is None:
            raise TimeoutError(f"The group did not end within {_END_S} s.")
    clock.mark_ended()
    values = [result["n"] for result in group.get_results()]
    return clock, len(values), sum(values)


def batches(number: int, items: int) -> Ran:
    """Run many small batches side by side, as a program would: a message for one item, a group for several."""
    actor, clock = broker.get_actor("square"), Clock()
    if items == 1:
        sent = [actor.send(0) for _ in range(number)]
        clock.mark_submitted()
        values = [message.get_result(block=True, timeout=_END_S * 1000)["n"] for message in sent]
    else:
        groups = [dramatiq.group([actor.message(n) for n in range(items)]).run() for _ in range(number)]
        clock.mark_submitted()
        values = [result["n"] for group in groups for result in group.get_results(block=True, timeout=_END_S * 1000)]
    clock.mark_ended()
    return clock, len(values), sum(values)


if __name__ == "__main__":
    serve(batch, batches)
