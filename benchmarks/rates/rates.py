"""Measures how a rate follows a destination, and the cost of unreached limits: `rates.json`, `docs/rates.svg`."""

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.bench_servers import BenchServers
from benchmarks.rates import plot
from benchmarks.rates.following import BOUNDS, Run, follow
from benchmarks.rates.shares import Reached, answers_per_second, best, reached, steps
from benchmarks.rates.unbound import cost_of_limits
from benchmarks.report import UNFINISHED, conclude, keep, kept, number

PARTS = ("following", "cost")
SCHEDULE = ((30.0, 100.0), (30.0, 40.0), (30.0, 150.0))
FIXED = (40.0, 70.0, 100.0)
"""Fixed limits beside the adaptive rate. They are few, because all of them share the processors of one machine."""


async def rates(bench: BenchServers, console: Console, runs: int, only: str | None = None) -> dict[str, Any]:
    """Measure, print and write. With `only` the earlier figures of the other part stay."""
    document = (kept("rates") if only else None) or {}
    document["machine"] = await machine.described(bench.servers)
    if only in {None, "following"}:
        seconds = sum(seconds for seconds, _ in SCHEDULE)
        console.print(f"A destination changes its capacity, for {seconds:g} s ...")
        run = await follow(bench, SCHEDULE, FIXED)
        document |= _compared(run, console)
        _draw(run, document["best_fixed"]["per_second"])
        keep("rates", document, UNFINISHED)
    if only in {None, "cost"}:
        lost, free, limited = await cost_of_limits(bench, console, runs)
        document["limits_cost"] = round(lost, 4)
        document["limits_items_per_s"] = {"without": free.document(), "with": limited.document()}
        console.print(f"Limits that do not bind cost {document['limits_cost']:.1%} of the items a second.")
    conclude(console, "rates", document)
    return document


def _compared(run: Run, console: Console) -> dict[str, Any]:
    adaptive = reached(run.adaptive.calls, SCHEDULE)
    fixed = [reached(call_log.calls, SCHEDULE, rate) for rate, call_log in run.fixed.items()]
    chosen = best(fixed, adaptive)
    console.print(_table(adaptive, fixed, chosen))
    return {
        **adaptive.document(),
        "best_fixed": chosen.document(),
        "fixed": [each.document() for each in fixed],
        "schedule": [{"seconds": seconds, "per_second": capacity} for seconds, capacity in SCHEDULE],
        "bounds": BOUNDS,
        "destination_late_ms": round(run.adaptive.late_s * 1000, 1),
    }


def _table(adaptive: Reached, fixed: list[Reached], chosen: Reached) -> Table:
    capacities = ", ".join(f"{capacity:g}/s" for _, capacity in SCHEDULE)
    table = Table("limit", "of the ideal", "refused", "", title=f"A destination that bears {capacities} in turn")
    for each in (adaptive, *fixed):
        name = "adaptive" if each.per_second is None else f"{number(each.per_second)}/s"
        note = "best fixed" if each is chosen else ""
        table.add_row(name, f"{each.ideal_share:.1%}", f"{each.refused_share:.2%}", note)
    return table


def _draw(run: Run, best_fixed: float) -> None:
    seconds = round(sum(seconds for seconds, _ in SCHEDULE))
    answered = [(at + 0.5, float(n)) for at, n in enumerate(answers_per_second(run.adaptive.calls, seconds))]
    plot.FILE.write_text(plot.drawn(steps(SCHEDULE), answered, run.rates, best_fixed), "utf-8")
