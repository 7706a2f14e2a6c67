"""Takes all of these measurements, one after the other, in one cluster."""

from rich.console import Console

from benchmarks import machine
from benchmarks.cluster import running_cluster
from benchmarks.figure import Figure
from benchmarks.numbers.memory import remembering
from benchmarks.numbers.progressing import ITEMS, progressing
from benchmarks.numbers.results import serving
from benchmarks.numbers.submitting import submitting
from benchmarks.numbers.throughput import many, single
from benchmarks.processes import Usage
from benchmarks.report import figures_document, keep, show_figures
from benchmarks.site import running_site
from benchmarks.stand import Stand

SAMPLES = 200


async def numbers(stand: Stand, console: Console, runs: int) -> list[Figure]:
    """Measure, print, keep; give the figures."""
    on = await machine.described(stand.servers)
    figures: list[Figure] = []
    async with (
        running_site() as origins,
        running_cluster(stand, {"BATCHYARD_TRACKLISTS_ORIGINS": ",".join(origins)}) as cluster,
    ):
        usage = Usage(cluster.everything)
        for what, measuring in (
            ("single items", single(cluster, SAMPLES)),
            ("progress", progressing(cluster, SAMPLES // ITEMS)),
            ("submits", submitting(cluster, origins, SAMPLES)),
            ("results", serving(cluster, origins, SAMPLES)),
        ):
            console.print(f"Measuring {what} ...")
            figures.append(await measuring)
        console.print("Measuring memory ...")
        figures += await remembering(cluster, origins)
        console.print("Measuring 10,000 items ...")
        figures += await many(cluster, runs)
        on["share_of_processors_used_by_others"] = usage.others_share()  # the stand-in site is among them
    show_figures(console, figures, "Batchyard against its targets")
    console.print(f"Kept in {keep('numbers', figures_document(on, figures))}")
    return figures
