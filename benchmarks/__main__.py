"""`python -m benchmarks` measures everything; `--help` names its parts, which can be measured one by one."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import document, tables
from benchmarks.bench_servers import BenchServers, running_bench_servers
from benchmarks.comparison import NAMES
from benchmarks.comparison import compare as measure_comparison
from benchmarks.distances.distances import PARTS as DISTANCES_PARTS
from benchmarks.distances.distances import distances as measure_distances
from benchmarks.eta.eta import PARTS as ETA_PARTS
from benchmarks.eta.eta import eta as measure_eta
from benchmarks.findings import Findings
from benchmarks.limits.history import ROWS
from benchmarks.limits.history import history as measure_history
from benchmarks.limits.limits import limits as measure_limits
from benchmarks.numbers.numbers import numbers as measure_numbers
from benchmarks.profiling import profile as measure_profile
from benchmarks.rates.rates import PARTS as RATES_PARTS
from benchmarks.rates.rates import rates as measure_rates
from benchmarks.report import keep
from benchmarks.scale.scale import PARTS
from benchmarks.scale.scale import scale as measure_scale
from benchmarks.smoke import smoke as measure_smoke
from benchmarks.steadiness.hostile import hostile as measure_hostile
from benchmarks.steadiness.leadership import leadership as measure_leadership
from benchmarks.steadiness.neighbours import HOSTILE
from benchmarks.targets import verdicts
from benchmarks.work import WrongResults
from devstack import StackError, run_interruptible

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
_WIDTH = 200
_RUNS = {"numbers": 5, "compare": 3, "scale": 2, "limits": 3, "rates": 3, "distances": 3}
Runs = Annotated[int, typer.Option(min=1, help="runs of each batch; tables show their median, min and max")]
Who = StrEnum("Who", {name: name for name in NAMES})  # type: ignore[misc]  # choices that --help shows
ScalePart = StrEnum("ScalePart", {name: name for name in PARTS})  # type: ignore[misc]
DistancesPart = StrEnum("DistancesPart", {name: name for name in DISTANCES_PARTS})  # type: ignore[misc]
HostileKind = StrEnum("HostileKind", {name: name for name in HOSTILE})  # type: ignore[misc]
EtaPart = StrEnum("EtaPart", {name: name for name in ETA_PARTS})  # type: ignore[misc]
RatesPart = StrEnum("RatesPart", {name: name for name in RATES_PARTS})  # type: ignore[misc]


@app.callback(invoke_without_command=True)
def everything(context: typer.Context) -> None:
    """Measure. Close other programs first: two cores are soon shared."""
    if context.invoked_subcommand is None:
        _run(_everything)


@app.command()
def numbers(runs: Runs = _RUNS["numbers"]) -> None:
    """Latencies, memory, and a batch of 10,000 items, each against its target."""
    _run(lambda bench, console: measure_numbers(bench, console, runs))


@app.command()
def compare(
    runs: Runs = _RUNS["compare"],
    only: Annotated[list[Who] | None, typer.Option(help="the others keep their figures; may be repeated")] = None,
) -> None:
    """Batchyard, its peers and the bare chunk pipeline on the same work and the same servers."""
    _run(lambda bench, console: measure_comparison(bench, console, runs, [str(name) for name in only or ()]))


@app.command()
def scale(
    runs: Runs = _RUNS["scale"],
    only: Annotated[ScalePart | None, typer.Option(help="the other parts keep their figures")] = None,
) -> None:
    """A million items: rate, memory and queues beside smaller batches, urgent batches behind it, two owners."""
    _run(lambda bench, console: measure_scale(bench, console, runs, only))


@app.command()
def history(
    rows: Annotated[int, typer.Option(min=1_000_000, help="outcomes of ended batches")] = ROWS,
) -> None:
    """Record and read a batch without and with the outcomes of ended ones in the tables, and delete these."""
    _run(lambda bench, console: measure_history(bench, console, rows))


@app.command()
def limits(runs: Runs = _RUNS["limits"]) -> None:
    """Measure RabbitMQ and PostgreSQL alone with the chunks and the rows of a batch."""
    _run(lambda bench, console: measure_limits(bench, console, runs))


@app.command()
def rates(
    runs: Annotated[int, typer.Option(min=1, help="runs with a limit that does not bind, and without")] = _RUNS[
        "rates"
    ],
    only: Annotated[RatesPart | None, typer.Option(help="the other part keeps its figures")] = None,
) -> None:
    """An adaptive rate beside fixed ones where the capacity changes, and the cost of limits that do not bind."""
    _run(lambda bench, console: measure_rates(bench, console, runs, only))


@app.command()
def distances(
    runs: Runs = _RUNS["distances"],
    only: Annotated[DistancesPart | None, typer.Option(help="the other part keeps its figures")] = None,
) -> None:
    """Pairs by chunks of 1, 10, 100 and of adaptive size, recommendations over HTTP; a million pairs from a file."""
    _run(lambda bench, console: measure_distances(bench, console, runs, only))


@app.command()
def eta(only: Annotated[EtaPart | None, typer.Option(help="the other part keeps its figures")] = None) -> None:
    """Score the forecasts of ends: 200 batches on a simulated clock, five times, and 20 real ones."""
    _run(lambda bench, console: measure_eta(bench, console, only))


@app.command()
def hostile(
    runs: Runs = 2,
    only: Annotated[HostileKind | None, typer.Option(help="the other kinds keep their figures")] = None,
) -> None:
    """Small batches of a polite owner beside hostile owners, each beside a harmless one of the same processor time."""
    _run(lambda bench, console: measure_hostile(bench, console, runs, only and str(only)), report_after=False)


@app.command()
def leadership(minutes: Annotated[float, typer.Option(min=0.1, help="length of the load")] = 10.0) -> None:
    """Two dispatchers under full load: takeovers, and how near the lease of the active one comes to its end."""
    _run(lambda bench, console: measure_leadership(bench, console, minutes), report_after=False)


@app.command()
def smoke(
    runs: Runs = 3,
    keep_baseline: Annotated[bool, typer.Option(help="commit the cost of an item as the new baseline")] = False,
) -> None:
    """Four rates in under four minutes, for a program to read: `benchmarks/results/smoke.json`.

    Fails with exit code 6 if the processor time of an item has grown by more than 15 % against the bare pipeline.
    """
    fits: list[bool] = []

    async def measure(bench: BenchServers, console: Console) -> None:
        fits.append(await measure_smoke(bench, console, runs, keep_baseline=keep_baseline))

    _run(measure, report_after=False)
    if not all(fits):
        raise typer.Exit(6)


@app.command()
def profile(runs: Runs = 3) -> None:
    """Show where the processor time of each service goes, function by function; needs py-spy on the PATH."""
    _run(lambda bench, console: measure_profile(bench, console, runs), report_after=False)


@app.command()
def report() -> None:
    """Print what was measured last, hold it against the targets, and write both into docs/."""
    _report(_console())


async def _everything(bench: BenchServers, console: Console) -> None:
    await measure_comparison(bench, console, _RUNS["compare"])
    await measure_limits(bench, console, _RUNS["limits"])
    await measure_scale(bench, console, _RUNS["scale"])
    await measure_numbers(bench, console, _RUNS["numbers"])
    await measure_distances(bench, console, _RUNS["distances"])
    await measure_rates(bench, console, _RUNS["rates"])
    await measure_eta(bench, console)


def _run(work: Callable[[BenchServers, Console], Awaitable[object]], *, report_after: bool = True) -> None:
    console = _console()

    async def on_servers() -> bool:
        async with running_bench_servers(lambda line: console.print(line, markup=False, soft_wrap=True)) as bench:
            await work(bench, console)
        return True

    try:
        done = asyncio.run(run_interruptible(on_servers()))
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(4) from error
    except WrongResults as error:
        sys.stderr.write(f"Batchyard: {error}\n")
        raise typer.Exit(5) from error
    if done is None:
        raise typer.Exit(130)
    if report_after:
        _report(console)


def _report(console: Console) -> None:
    findings = Findings.read()
    keep("targets", {verdict.target.name: verdict.document() for verdict in verdicts(findings)})
    document.write(findings)
    for title, text in (
        ("Comparison with other systems", tables.comparison(findings)),
        ("Many small batches", tables.small(findings)),
        ("Processor time by process", tables.costs(findings)),
        ("Batchyard by the number of items", tables.scale(findings)),
        ("Batches that are submitted while others run", tables.later(findings)),
        ("A destination whose capacity changes", tables.rates(findings)),
        ("Distances by the size of chunks", tables.distances(findings)),
        ("A million pairs from a file", tables.million_pairs(findings)),
        ("Recommendations over HTTP", tables.recommendations(findings)),
        ("Targets", tables.targets(findings)),
    ):
        table = Table(*text.headers, title=title)
        for row in text.rows:
            table.add_row(*row)
        console.print(table, markup=False)
    for line in tables.left_out(findings):
        console.print(line, markup=False)
    console.print(tables.dates(findings), style="" if tables.has_one_date(findings) else "bold red")


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


if __name__ == "__main__":
    app()
