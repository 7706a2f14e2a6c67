"""Profiles of the processor time of each service, function by function, while trivial items pass through.

Needs the sampling profiler py-spy on the PATH. It is no part of the project: install it into an environment of its own.
"""

import asyncio
import shutil
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import batchyard, machine
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import Cluster, running_cluster
from benchmarks.costs import costs
from benchmarks.report import keep, number
from benchmarks.stacks import charge
from benchmarks.work import Work, check
from devstack import StackError

_WORK = Work("square", 100_000)
_RATE = 250
_MOST_S = 900
_LINES = 8
_PROJECT = Path(__file__).parents[1]


async def profile(bench: BenchServers, console: Console, runs: int) -> dict[str, Any]:
    """Measure, print, and write `profile.json`. The profiler itself takes a share: read shares, not seconds."""
    spy = shutil.which("py-spy")
    if spy is None:
        raise StackError("py-spy was not found. Install it with pip into any environment, and put that on the PATH.")
    on = await machine.described(bench.servers)
    async with running_cluster(bench, {}) as cluster:
        check(_WORK, await batchyard.run(cluster, _WORK))
        console.print(f"Running {_WORK.items:,} items without the profiler ...")
        done = [check(_WORK, await batchyard.run(cluster, _WORK)) for _ in range(runs)]
        console.print("The same under the profiler ...")
        lines = await _sampled(cluster, spy, runs)
    spent = costs(_WORK, done)
    document = {
        "machine": on,
        "items": _WORK.items,
        "cpu_us_per_item": spent,
        "share_of_processors_used_by_others": [run.others_share for run in done],
        "lines": {
            service: [
                {"where": where, "share": round(share, 4), "us_per_item": round(share * spent[service], 2)}
                for where, share in shares.items()
            ]
            for service, shares in lines.items()
        },
    }
    _show(console, spent, lines)
    console.print(f"Kept in {keep('profile', document)}")
    return document


async def _sampled(cluster: Cluster, spy: str, runs: int) -> dict[str, dict[str, float]]:
    """For each service the lines that cost most, with their shares of its time."""
    with tempfile.TemporaryDirectory(prefix="profile-") as name:
        files = {service: Path(name) / f"{service}.txt" for service in cluster.services}
        spies = [await _spy(spy, cluster.services[service][0].pid, file) for service, file in files.items()]
        try:
            for _ in range(runs):
                await batchyard.run_unread(cluster, _WORK)
        finally:
            await asyncio.gather(*map(_end, spies))
        return {service: _shares(file) for service, file in files.items()}


async def _spy(spy: str, pid: int, file: Path) -> Process:
    options = ("--rate", str(_RATE), "--duration", str(_MOST_S), "--nonblocking", "--full-filenames")
    argv = (spy, "record", "--pid", str(pid), "--format", "raw", "--output", str(file), *options)
    return await asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)


async def _end(spy: Process) -> None:
    if spy.returncode is None:
        spy.send_signal(2)  # as Ctrl-C: it writes what it has
    _, said = await spy.communicate()
    if spy.returncode:
        raise StackError(f"py-spy ended with code {spy.returncode}: {said.decode(errors='replace')[-500:]}")


def _shares(file: Path) -> dict[str, float]:
    samples = charge(file.read_text("utf-8").splitlines(), _PROJECT)
    whole = samples.total() or 1
    return {where: count / whole for where, count in samples.most_common(_LINES)}


def _show(console: Console, spent: Mapping[str, float], lines: Mapping[str, Mapping[str, float]]) -> None:
    table = Table("who", "us/item", "of it", "where", title=f"Processor time of {_WORK.items:,} trivial items")
    for role, us in spent.items():
        if role == "all":
            continue
        for place, (where, share) in enumerate(lines.get(role, {"": 1.0}).items()):
            first = place == 0
            table.add_row(role if first else "", number(us) if first else "", f"{share:.0%}" if where else "", where)
        table.add_section()
    table.add_row("all", number(spent["all"]), "", "")
    console.print(table)
