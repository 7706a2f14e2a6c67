"""`python -m benchmarks` measures everything; `--help` names its parts."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.comparison import compare as measure_comparison
from benchmarks.numbers.numbers import numbers as measure_numbers
from benchmarks.profiling import profile as measure_profile
from benchmarks.smoke import smoke as measure_smoke
from benchmarks.stand import Stand, standing
from shared.stack import StackError, interruptible

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
_WIDTH = 140
Runs = Annotated[int, typer.Option(min=1, help="runs of each batch; the table shows their median, min and max")]


@app.callback(invoke_without_command=True)
def everything(context: typer.Context) -> None:
    """Measure. Close other programs first: two cores are soon shared."""
    if context.invoked_subcommand is None:
        _run(_everything)


@app.command()
def numbers(runs: Runs = 5) -> None:
    """Latencies, memory, and a batch of 10,000 items, each against its target."""
    _run(lambda stand, console: measure_numbers(stand, console, runs))


@app.command()
def compare(runs: Runs = 3) -> None:
    """Batchyard, its peers and the limit on the same work and the same servers, with what each costs."""
    _run(lambda stand, console: measure_comparison(stand, console, runs))


@app.command()
def smoke(runs: Runs = 3) -> None:
    """Four rates in under four minutes, for a program to read: `benchmarks/results/smoke.json`."""
    _run(lambda stand, console: measure_smoke(stand, console, runs))


@app.command()
def profile(runs: Runs = 3) -> None:
    """Where the processor time of each service goes, function by function; needs py-spy on the PATH."""
    _run(lambda stand, console: measure_profile(stand, console, runs))


async def _everything(stand: Stand, console: Console) -> None:
    await measure_numbers(stand, console, 5)
    await measure_comparison(stand, console, 3)


def _run(work: Callable[[Stand, Console], Awaitable[object]]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)

    async def on_servers() -> bool:
        async with standing(lambda line: console.print(line, markup=False, soft_wrap=True)) as stand:
            await work(stand, console)
        return True

    try:
        done = asyncio.run(interruptible(on_servers()))
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(4) from error
    if done is None:
        raise typer.Exit(130)


if __name__ == "__main__":
    app()
