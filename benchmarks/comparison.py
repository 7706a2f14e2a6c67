"""Gives Batchyard and its peers the same work on the same servers, one after the other: `comparison.json`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from benchmarks import batchyard, machine
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import running_cluster
from benchmarks.costs import costs
from benchmarks.peers.contestants import CONTESTANTS, Contestant
from benchmarks.peers.session import Session, running_peer
from benchmarks.processes import Usage
from benchmarks.report import UNFINISHED, conclude, keep, kept, number
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
        keep("comparison", document, UNFINISHED)
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
        keep("comparison", document, UNFINISHED)
    conclude(console, "comparison", document)
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
        usage = Usage(cluster.everything)
        seconds = [await batchyard.run_one(cluster, n) for n in range(SINGLES)]
        single = _single(seconds, usage.cpu_s(), usage.others_share())
    return _entry("Batchyard", "per item", works, single)


async def _peer(bench: BenchServers, console: Console, contestant: Contestant, runs: int) -> Document:
    works: Document = {}
    single: Document = {}
    for part in contestant.parts:
        async with running_peer(bench, part.peer) as session:
            for work in part.works:
                works[work.name] = _show(console, contestant.title, work, await _runs(session, work, runs))
            if part.singles:
                await session.run(SINGLE, 10)
                done = await session.run(SINGLE, SINGLES)
                cpu_s = {role: seconds * SINGLES for role, seconds in done[0].cpu_s.items()}
                single = _single([run.seconds for run in done], cpu_s, done[0].others_share)
    return _entry(contestant.title, contestant.kind, works, single)


async def _runs(session: Session, work: Work, runs: int) -> list[Run]:
    return [(await session.run(work))[0] for _ in range(runs)]


def _show(console: Console, title: str, work: Work, runs: Sequence[Run]) -> Document:
    found = of_runs(work, runs)
    unit = "items" if work.batches == 1 else "batches"
    console.print(f"{title}: {work.name}, {number(found[f'{unit}_per_s']['median'])} {unit}/s", markup=False)
    return found


def _single(seconds: Sequence[float], cpu_s: Mapping[str, float], others_share: float) -> Document:
    """Return the figures of single items: their times, and the processor time of one, by role."""
    each = {role: round(spent / len(seconds) * 1000, 2) for role, spent in cpu_s.items()}
    return {
        "single_ms": Summary.of([one * 1000 for one in seconds]).document(),
        "single_cpu_ms": {**each, "all": round(sum(each.values()), 2)},
        "single": {"others_share": {"max": others_share}},
    }


def _entry(title: str, kind: str, works: Document, single: Document) -> Document:
    return {
        "title": title,
        "kind": kind,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "works": works,
        "single_ms": None,
        **single,
    }
