"""Runs one peer: its workers and its submitter as processes of their own, from start to end."""

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from benchmarks.bench_servers import BenchServers
from benchmarks.peers.environment import Environment, environment
from benchmarks.peers.peer import Peer
from benchmarks.peers.submitter import ANSWER, READY
from benchmarks.processes import Usage, forget_peaks, peak_mb, servers_of
from benchmarks.work import Run, Work, check
from devstack import Servers, StackError
from devstack.processes import process_tree, terminate

_READY_WITHIN_S = 60.0
_DONE_WITHIN_S = 300.0
_GRACE_S = 5.0
_WARM_UP = Work("square", 300)
_PROJECT = Path(__file__).parents[2]
_LINE_BYTES = 1 << 20
_OWN = {"workers", "submitter"}


@dataclass(frozen=True, slots=True)
class Session:
    """A running peer."""

    peer: Peer
    submitter: Process
    roles: Mapping[str, list[psutil.Process]]
    log: Path

    async def run(self, work: Work, times: int = 1, within_s: float = _DONE_WITHIN_S) -> list[Run]:
        """Run a work so many times; raises `WrongResults`, or `StackError` when the peer does not answer."""
        own = {role: processes for role, processes in self.roles.items() if role in _OWN}
        forget_peaks(own)
        usage = Usage(self.roles)
        asked = json.dumps({"kind": work.kind, "items": work.items, "batches": work.batches, "times": times})
        if self.submitter.stdin is None:
            raise AssertionError
        self.submitter.stdin.write(asked.encode() + b"\n")
        answer = json.loads(await _read_line(self, ANSWER, within_s))
        others, memory = usage.others_share(), peak_mb(own)
        cpu_s = {role: seconds / times for role, seconds in usage.cpu_s().items()}
        return [
            check(work, Run(r["seconds"], r["count"], r["sum"], r["submit_s"], cpu_s, memory, others)) for r in answer
        ]


@asynccontextmanager
async def running_peer(bench: BenchServers, peer: Peer) -> AsyncIterator[Session]:
    """Start a peer on emptied servers, warm it up, and end it for certain. Raises `StackError`."""
    program = await environment(bench.home, peer.needs, bench.echo)
    servers = await bench.create_isolated("benchpeer")
    variables = _variables(peer, program, servers)
    log = bench.home / "log" / f"{peer.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    processes: list[Process] = []
    with log.open("ab") as output:
        try:
            if peer.prepare is not None:
                preparing = await _start(program, peer.prepare, variables, output)
                processes.append(preparing)
                if await preparing.wait():
                    raise StackError(f"{peer.title} could not be prepared. Look into {log}.")
            submitter = await _start(program, peer.submitter, variables, output, PIPE)
            processes.append(submitter)
            session = Session(peer, submitter, {}, log)
            await _read_line(session, READY, _READY_WITHIN_S)
            workers = [await _start(program, argv, variables, output) for argv in peer.workers]
            processes += workers
            roles = {
                "workers": [psutil.Process(worker.pid) for worker in workers],
                "submitter": [psutil.Process(submitter.pid)],
                **servers_of(servers),
            }
            session = Session(peer, submitter, roles, log)
            await session.run(_WARM_UP, within_s=_READY_WITHIN_S)
            yield session
        finally:
            await _stop(processes)


def _variables(peer: Peer, program: Environment, servers: Servers) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PYTHONDONTWRITEBYTECODE": "1",
        "BENCH_AMQP_URL": servers.amqp_url,
        "BENCH_DATABASE_URL": servers.database_url,
        "BENCH_REDIS_URL": servers.redis_url,
        "BENCH_QUEUE": "bench",
        **program.variables,
        **peer.environment,
    }


async def _start(
    program: Environment, argv: Sequence[str], variables: Mapping[str, str], log: IO[bytes], pipe: int | None = None
) -> Process:
    return await asyncio.create_subprocess_exec(
        str(program.program),
        *(part.replace("{bin}", str(program.program.parent)) for part in argv),
        cwd=_PROJECT,
        env=variables,
        stdin=pipe if pipe is not None else DEVNULL,
        stdout=pipe if pipe is not None else log,
        stderr=log,
        start_new_session=True,
        limit=_LINE_BYTES,
    )


async def _read_line(session: Session, word: str, within_s: float) -> str:
    """Return the rest of the next line that begins with this word."""
    if session.submitter.stdout is None:
        raise AssertionError
    try:
        async with asyncio.timeout(within_s):
            while line := (await session.submitter.stdout.readline()).decode():
                if line.startswith(word):
                    return line.removeprefix(word)
    except TimeoutError as error:
        raise StackError(
            f"{session.peer.title} gave no answer within {within_s:.0f} s. Look into {session.log}."
        ) from error
    raise StackError(f"The submitter of {session.peer.title} has ended. Look into {session.log}.")


async def _stop(processes: Sequence[Process]) -> None:
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found += process_tree([psutil.Process(process.pid)])
    await terminate(found, signal.SIGTERM, _GRACE_S)
    for process in processes:
        await process.wait()
