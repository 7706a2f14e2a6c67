"""Gives Batchyard and its peers the same work on the same servers, one after the other."""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import batchyard, machine
from benchmarks.costs import Costs, costs, dearest
from benchmarks.peers.peer import CELERY, CELERY_CHUNKS, CELERY_CHUNKS_1000, CELERY_NAPS, CHUNK_LIMIT, Peer
from benchmarks.peers.session import Session, running_peer
from benchmarks.ratios import RATIOS
from benchmarks.report import keep, number
from benchmarks.stand import Stand
from benchmarks.summary import Summary
from benchmarks.work import NAP_S, Run, Work, check
from benchmarks.yard import running_yard

TEN = Work("square", 10_000)
HUNDRED = Work("square", 100_000)
NAPS = Work("nap", 1_000)
SINGLES = 200
_AT_ONCE = 100
_IDEAL_S = NAPS.items * NAP_S / _AT_ONCE
_WARM_UP = Work("square", 2_000)
_WORDS = {TEN: "10k", HUNDRED: "100k", NAPS: "naps"}

RunIt = Callable[[Work], Awaitable[list[Run]]]


@dataclass(slots=True)
class Compared:
    """What was found so far, by `<contestant>_<work>`."""

    rates: dict[str, Summary] = field(default_factory=dict)
    costs: dict[str, Costs] = field(default_factory=dict)
    memory_mb: dict[str, dict[str, float]] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, work: Work, runs: Sequence[Run]) -> None:
        """Take the runs of one contestant on one work."""
        self.rates[name] = Summary.of([work.items / run.seconds for run in runs])
        self.costs[name] = costs(work, runs)
        roles = runs[-1].resident_mb
        self.memory_mb[name] = {role: round(max(run.resident_mb[role] for run in runs)) for role in roles}
        self.others[name] = statistics.median(run.others_share for run in runs)

    def document(self, on: dict[str, Any]) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "machine": on,
            "items_per_s": {name: summary.document() for name, summary in self.rates.items()},
            "cpu_us_per_item": self.costs,
            "resident_mb": self.memory_mb,
            "share_of_processors_used_by_others": self.others,
            "ratios": [
                {
                    "title": r.title,
                    "ratio": round(ratio, 3),
                    "at_least": round(r.at_least, 3),
                    "met": ratio >= r.at_least,
                }
                for r in RATIOS
                if (ratio := r.of(self.rates)) is not None
            ],
        }


async def compare(stand: Stand, console: Console, runs: int) -> Compared:
    """Measure, print, and write `comparison.json`."""
    on, found = await machine.described(stand.servers), Compared()
    found.rates["ideal_naps"] = Summary.of([NAPS.items / _IDEAL_S])
    async with running_yard(stand, {}) as yard:
        check(_WARM_UP, await batchyard.run(yard, _WARM_UP))
        for work in (TEN, HUNDRED, NAPS):
            console.print(f"Batchyard: {_WORDS[work]} ...")
            done = [check(work, await batchyard.run(yard, work)) for _ in range(runs)]
            found.add(f"batchyard_{_WORDS[work]}", work, done)
        singles = [await batchyard.run_one(yard, n) for n in range(SINGLES)]
        found.rates["batchyard_single"] = Summary.of([1 / seconds for seconds in singles])
    plan: tuple[tuple[Peer, tuple[Work, ...]], ...] = (
        (CHUNK_LIMIT, (TEN, HUNDRED, NAPS)),
        (CELERY_CHUNKS, (TEN, HUNDRED)),
        (CELERY_CHUNKS_1000, (TEN, HUNDRED)),
        (CELERY_NAPS, (NAPS,)),
        (CELERY, (TEN,)),
    )
    for peer, works in plan:
        async with running_peer(stand, peer) as session:
            await _measure(session, works, runs, found, console)
    _show(console, found)
    console.print(f"Kept in {keep('comparison', found.document(on))}")
    return found


async def _measure(session: Session, works: Sequence[Work], runs: int, found: Compared, console: Console) -> None:
    peer = session.peer
    for work in works:
        console.print(f"{peer.title}: {_WORDS[work]} ...")
        name = peer.name if peer is CELERY_NAPS else f"{peer.name}_{_WORDS[work]}"
        found.add(name, work, [(await session.run(work))[0] for _ in range(runs)])
    if peer in (CELERY, CHUNK_LIMIT):
        single = Work("square", 1)
        done = await session.run(single, SINGLES)
        found.rates[f"{peer.name}_single"] = Summary.of([1 / run.seconds for run in done])


def _show(console: Console, found: Compared) -> None:
    rates = Table(
        "what", "items/s", "min - max", "CPU us/item", "dearest", "others", title="The same work for everybody"
    )
    for name, s in found.rates.items():
        spent = found.costs.get(name, {})
        first = ", ".join(f"{role} {us:.0f}" for role, us in dearest(spent)[:4])
        others = f"{found.others[name]:.0%}" if name in found.others else ""
        rates.add_row(
            name, number(s.median), f"{number(s.low)} - {number(s.high)}", number(spent.get("all", 0)), first, others
        )
    ratios = Table("what", "ratio", "target", "met", title="Targets as ratios of the same run")
    for each in RATIOS:
        ratio = each.of(found.rates)
        if ratio is not None:
            met = "[green]yes" if ratio >= each.at_least else "[red]no"
            ratios.add_row(each.title, number(ratio), f">= {number(each.at_least)}", met)
    console.print(rates)
    console.print(ratios)
