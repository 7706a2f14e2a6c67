"""Rate at which the chunks of a batch pass through RabbitMQ without being read."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import aio_pika

from batchyard_contracts.topology import WORK, work_queue
from benchmarks import batchyard
from benchmarks.cluster import Cluster
from benchmarks.work import Work, check
from devstack import StackError

_PROJECT = Path(__file__).parents[2]
_READY_WITHIN_S, _DONE_WITHIN_S = 20.0, 300.0


async def chunks_of(cluster: Cluster, work: Work) -> list[bytes]:
    """Run a batch, and give the chunks that its worker was sent."""
    bodies: list[bytes] = []
    async with await aio_pika.connect(cluster.servers.amqp_url) as connection:
        channel = await connection.channel()
        copies = await channel.declare_queue(exclusive=True)
        await copies.bind(WORK, work_queue("noop", "normal").name)
        check(work, await batchyard.run(cluster, work))
        while (message := await copies.get(no_ack=True, fail=False)) is not None:
            bodies.append(message.body)
    return bodies


async def passed(amqp_url: str, queue: str, bodies: list[bytes], folder: Path) -> float:
    """Seconds from the first publish to the last acknowledgement. Raises `StackError`."""
    file = folder / f"{queue}.ndjson"
    file.write_bytes(b"\n".join(bodies))
    consumer = await _started("take", amqp_url, queue, file)
    publisher = await _started("publish", amqp_url, queue, file)
    try:
        if publisher.stdin is None:
            raise AssertionError
        publisher.stdin.write(b"\n")
        began, ended = [float(await _line(side, _DONE_WITHIN_S)) for side in (publisher, consumer)]
        return ended - began
    finally:
        for side in (publisher, consumer):
            if side.returncode is None:
                side.kill()
            await side.wait()


async def _started(side: str, *arguments: object) -> Process:
    argv = (sys.executable, "-m", "benchmarks.limits.passing", side, *map(str, arguments))
    process = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE, cwd=_PROJECT)
    await _line(process, _READY_WITHIN_S)
    return process


async def _line(side: Process, within_s: float) -> str:
    if side.stdout is None:
        raise AssertionError
    try:
        async with asyncio.timeout(within_s):
            if line := await side.stdout.readline():
                return line.decode().strip()
    except TimeoutError as error:
        raise StackError(f"The raw publish and consume was not done within {within_s:.0f} s.") from error
    raise StackError("The raw publish and consume ended before it was done; what it said is above.")
