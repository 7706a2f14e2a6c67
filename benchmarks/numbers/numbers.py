"""Takes all figures of a submitter and a watcher, one after the other, in one cluster."""

from rich.console import Console

from benchmarks import machine
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import running_cluster
from benchmarks.figure import Figure
from benchmarks.numbers.memory import measure_memory
from benchmarks.numbers.progress import ITEMS, measure_progress, measure_progress_of_many
from benchmarks.numbers.results import measure_formats, measure_results
from benchmarks.numbers.submissions import measure_submissions
from benchmarks.numbers.throughput import many, single
from benchmarks.processes import Usage
from benchmarks.report import conclude, figures_document, show_figures
from benchmarks.site import running_site

SAMPLES = 200


async def numbers(bench: BenchServers, console: Console, runs: int) -> list[Figure]:
    """Measure, print and write; return the figures."""
    on = await machine.described(bench.servers)
    figures: list[Figure] = []
    async with (
        running_site() as origins,
        running_cluster(bench, {"BATCHYARD_TRACKLISTS_ORIGINS": ",".join(origins)}) as cluster,
    ):
        usage = Usage(cluster.everything)
        for what, measuring in (
            ("single items", single(cluster, SAMPLES)),
            ("progress", measure_progress(cluster, SAMPLES // ITEMS)),
            ("progress of many", measure_progress_of_many(cluster)),
            ("submits", measure_submissions(cluster, origins, SAMPLES)),
            ("results", measure_results(cluster, origins, SAMPLES)),
        ):
            console.print(f"Measuring {what} ...")
            figures.append(await measuring)
        console.print("Measuring memory ...")
        figures += await measure_memory(cluster, origins)
        console.print("Measuring 10,000 items ...")
        figures += await many(cluster, runs)
        console.print("Measuring the results of 100,000 items ...")
        figures += await measure_formats(cluster, runs)
        on["share_of_processors_used_by_others"] = usage.others_share()
    show_figures(console, figures, "Batchyard against its targets")
    conclude(console, "numbers", figures_document(on, figures))
    return figures
