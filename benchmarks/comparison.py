"""Gives Batchyard and its peers the same work on the same servers, one after the other: `comparison.json`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from benchmarks import batchyard, machine
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import running_cluster
from benchmarks.costs import costs
from benchmarks.peers.contestants import CONTESTANTS, Contestant
from benchmarks.peers.session import Session, running_peer
from benchmarks.report import keep, kept, number
from benchmarks.summary import Summary
from benchmarks.work import HUNDRED, NAPS, ONES, SINGLE, TEN, TENS, WARM_UP, Run, Work, WrongResults, check
from devstack import StackError

BATCHYARD = "batchyard"
NAMES = (BATCHYARD, *(each.name for each in CONTESTANTS))
SINGLES = 200
Document = dict[str, Any]


async def compare(bench: BenchServers, console: Console, runs: int, only: Sequence[str] = ()) -> Document:
    """Measure and write. With `only` the earlier figures of the others stay.

    A peer that cannot be had here, or does not do its work, is left out with the reason; Batchyard never is.
    """
    document = (kept("comparison") if only else None) or {}
    for part in ("contestants", "left_out"):
        document.setdefault(part, {})
    document["machine"] = await machine.described(bench.servers)
    if not only or BATCHYARD in only:
        document["contestants"][BATCHYARD] = await _batchyard(bench, console, runs)
        keep("comparison", document)
    for contestant in CONTESTANTS:
        if only and contestant.name not in only:
            continue
        document["contestants"].pop(contestant.name, None)
        document["left_out"].pop(contestant.name, None)
        try:
            document["contestants"][contestant.name] = await _peer(bench, console, contestant, runs)
        except (StackError, WrongResults) as error:
            why = str(error).replace(f"{bench.home}/", "")  # the folder is this machine's affair
            document["left_out"][contestant.name] = why.partition("\n")[0]
            console.print(f"{contestant.title} is left out: {error}", markup=False)
        keep("comparison", document)
    console.print(f"Kept in {keep('comparison', document)}")
    return document


def of_runs(work: Work, runs: Sequence[Run]) -> Document:
    """Return the figures of one contestant's runs of one work."""
    together = [sum(run.resident_mb.values()) for run in runs]
    return {
        "items": work.items,
        "items_per_s": Summary.of([work.results / run.seconds for run in runs]).document(),
        "batches_per_s": Summary.of([work.batches / run.seconds for run in runs]).document(),
        "cpu_ms_per_batch": {role: round(us * work.items / 1000, 3) for role, us in costs(work, runs).items()},
        "submit_s": Summary.of([run.submit_s or 0 for run in runs]).document(),
        "resident_mb": Summary.of(together).document(),
        "resident_mb_by_role": {role: round(max(r.resident_mb[role] for r in runs)) for role in runs[0].resident_mb},
        "cpu_us_per_item": costs(work, runs),
        "others_share": Summary.of([run.others_share for run in runs]).document(),
    }


async def _batchyard(bench: BenchServers, console: Console, runs: int) -> Document:
    works: Document = {}
    async with running_cluster(bench, {}) as cluster:
        check(WARM_UP, await batchyard.run(cluster, WARM_UP))
        for work in (TEN, HUNDRED, NAPS):
            done = [check(work, await batchyard.run(cluster, work)) for _ in range(runs)]
            works[work.name] = _show(console, "Batchyard", work, done)
        for work in (ONES, TENS):
            done = [check(work, await batchyard.run_side_by_side(cluster, work)) for _ in range(runs)]
            works[work.name] = _show(console, "Batchyard", work, done)
        await batchyard.run_one(cluster, 0)
        singles = [await batchyard.run_one(cluster, n) * 1000 for n in range(SINGLES)]
    return _entry("Batchyard", "per item", works, singles)


async def _peer(bench: BenchServers, console: Console, contestant: Contestant, runs: int) -> Document:
    works: Document = {}
    singles: list[float] = []
    for part in contestant.parts:
        async with running_peer(bench, part.peer) as session:
            for work in part.works:
                works[work.name] = _show(console, contestant.title, work, await _runs(session, work, runs))
            if part.singles:
                await session.run(SINGLE, 10)
                singles = [run.seconds * 1000 for run in await session.run(SINGLE, SINGLES)]
    return _entry(contestant.title, contestant.kind, works, singles)


async def _runs(session: Session, work: Work, runs: int) -> list[Run]:
    return [(await session.run(work))[0] for _ in range(runs)]


def _show(console: Console, title: str, work: Work, runs: Sequence[Run]) -> Document:
    found = of_runs(work, runs)
    unit = "items" if work.batches == 1 else "batches"
    console.print(f"{title}: {work.name}, {number(found[f'{unit}_per_s']['median'])} {unit}/s", markup=False)
    return found


def _entry(title: str, kind: str, works: Document, singles: Sequence[float]) -> Document:
    return {
        "title": title,
        "kind": kind,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "works": works,
        "single_ms": Summary.of(singles).document() if singles else None,
    }
