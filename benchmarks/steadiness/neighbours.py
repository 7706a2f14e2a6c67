"""Owners beside whom another one is measured: `python -m benchmarks.steadiness.neighbours KIND HTTP AMQP RATE`.

Each is a process of its own, so that its work takes no time from the one that measures. It runs until it is stopped.
One kind is harmless; the others send all that Batchyard accepts or refuses, as fast as they can.
"""

import asyncio
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit
from uuid import uuid4

import aio_pika
import aiohttp
import orjson

from batchyard_contracts.topology import COMMANDS

HARMLESS = "harmless"
SUBMIT = "batch.submit.v1"
_AT_ONCE = 50
_ITEMS = 100
"""Items of each batch of the harmless owner."""
_PARTITIONS = 1_000_000
_PAYLOAD = 1_300_000
"""Bytes of a large payload; the limit is 1.5 MiB."""
_CLOSED = "http://127.0.0.1:9/"
"""An address at which nobody listens."""
_LOST = (aiohttp.ClientError, OSError, TimeoutError)


class Neighbour:
    """An owner with connections over HTTP and AMQP."""

    def __init__(self, http: aiohttp.ClientSession, amqp_url: str, rate: float) -> None:
        self._http, self._amqp_url, self._rate = http, amqp_url, rate
        self._numbers = itertools.count()

    async def submit_ordinary(self) -> None:
        """Submit batches of `_ITEMS` items at a rate."""
        began = time.monotonic()
        body = {"workload": "noop", "items": [{"payload": {"n": n}} for n in range(_ITEMS)]}
        for number in itertools.count():
            await asyncio.sleep(began + number / self._rate - time.monotonic())
            await self._post("batches", json=body)

    async def submit_tiny(self) -> None:
        """Submit batches of one item, many at once."""
        await self._at_once(lambda: self._post("batches", json={"workload": "noop", "items": [{"payload": {"n": 1}}]}))

    async def submit_large(self) -> None:
        """Submit batches of large payloads."""
        items = [{"payload": {"url": _CLOSED + "x" * _PAYLOAD}} for _ in range(3)]
        body = orjson.dumps({"workload": "calling", "items": items})
        headers = {"Content-Type": "application/json"}
        await self._at_once(lambda: self._post("batches", data=body, headers=headers), 4)

    async def submit_partitions(self) -> None:
        """Submit batches in which each item has a partition of its own."""

        async def items() -> AsyncIterator[bytes]:
            for start in range(0, _PARTITIONS, 4000):
                yield b"".join(b'{"url":"%s","partition":"p%d"}\n' % (_CLOSED.encode(), n + start) for n in range(4000))

        headers = {"Content-Type": "application/x-ndjson"}
        await self._at_once(lambda: self._post("batches?workload=calling", data=items(), headers=headers), 2)

    async def send_requests(self) -> None:
        """Send requests that find nothing, are invalid, or list much."""
        requests: list[Callable[[], Awaitable[None]]] = [
            lambda: self._get("batches?limit=100"),
            lambda: self._get(f"batches/{uuid4()}"),
            lambda: self._get(f"batches/{uuid4()}/results?limit=1000"),
            lambda: self._post("batches", data=b"{", headers={"Content-Type": "application/json"}),
            lambda: self._post("batches", json={"workload": "noop", "items": [{"payload": {"n": "x"}}] * 1000}),
            lambda: self._get("workers"),
        ]

        async def send() -> None:
            await requests[next(self._numbers) % len(requests)]()

        await self._at_once(send)

    async def send_invalid_commands(self) -> None:
        """Send invalid commands by AMQP without waiting for replies: small, large, and to batches that are missing."""
        large = orjson.dumps({"workload": "noop", "items": [{"payload": {"n": 1}}] * 9_999 + [{"payload": {"n": "x"}}]})

        def command(number: int) -> tuple[str, bytes]:
            return [
                (SUBMIT, b"{"),
                (SUBMIT, b'{"workload": "missing", "items": [{"payload": {}}]}'),
                ("batch.seal.v1", b'{"batch_id": "%s"}' % str(uuid4()).encode()),
                (SUBMIT, large if number % 100 == 3 else b"[]"),
            ][number % 4]

        await self._send_commands(command)

    async def send_small_batches(self) -> None:
        """Submit batches of one item by AMQP without waiting for replies."""
        body = orjson.dumps({"workload": "noop", "items": [{"payload": {"n": 1}}]})
        await self._send_commands(lambda _: (SUBMIT, body))

    async def _send_commands(self, command: Callable[[int], tuple[str, bytes]]) -> None:
        """Send commands by their type and body, many at once; each waits only for the broker."""
        user = urlsplit(self._amqp_url).username
        async with await aio_pika.connect(self._amqp_url) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(COMMANDS, ensure=False)

            async def send() -> None:
                kind, body = command(next(self._numbers))
                await exchange.publish(aio_pika.Message(body, type=kind, user_id=user), kind)

            await self._at_once(send)

    async def _at_once(self, send: Callable[[], Awaitable[None]], count: int = _AT_ONCE) -> None:
        async def send_all() -> None:
            while True:
                await send()

        await asyncio.gather(*(send_all() for _ in range(count)))

    async def _post(self, path: str, **options: object) -> None:
        await self._request("POST", path, **options)

    async def _get(self, path: str) -> None:
        await self._request("GET", path)

    async def _request(self, method: str, path: str, **options: object) -> None:
        try:
            async with self._http.request(method, path, **options) as answer:  # type: ignore[arg-type]
                async for _ in answer.content.iter_any():
                    pass
        except _LOST:  # a service that refuses is no concern of this owner
            await asyncio.sleep(0.1)


KINDS: dict[str, Callable[[Neighbour], Awaitable[None]]] = {
    HARMLESS: Neighbour.submit_ordinary,
    "tiny": Neighbour.submit_tiny,
    "large": Neighbour.submit_large,
    "partitions": Neighbour.submit_partitions,
    "requests": Neighbour.send_requests,
    "commands": Neighbour.send_invalid_commands,
    "submissions": Neighbour.send_small_batches,
}
HOSTILE = tuple(kind for kind in KINDS if kind != HARMLESS)


async def main(kind: str, url: str, amqp_url: str, token: str, rate: float) -> None:
    """Run a neighbour."""
    timeout = aiohttp.ClientTimeout(total=900)
    headers = {"Authorization": f"Bearer {token}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, timeout=timeout, headers=headers, connector=connector) as http:
        await KINDS[kind](Neighbour(http, amqp_url, rate))


if __name__ == "__main__":
    name, http_url, broker_url, batches_per_s = sys.argv[1:]
    asyncio.run(main(name, http_url, broker_url, os.environ["NEIGHBOUR_TOKEN"], float(batches_per_s)))
