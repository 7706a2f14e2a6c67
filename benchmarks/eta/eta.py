"""Scores the forecasts of the ends of batches: `eta.json`."""

from typing import Any

from rich.console import Console

from benchmarks import machine
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import running_cluster
from benchmarks.eta.real import score_real
from benchmarks.eta.simulated import score_simulated
from benchmarks.processes import Usage
from benchmarks.report import conclude, kept

PARTS = ("simulated", "real")
BATCHES, SEEDS = 200, (1, 2, 3, 4, 5)


async def eta(bench: BenchServers, console: Console, only: str | None = None) -> dict[str, Any]:
    """Measure, print and write. With `only` the earlier figures of the other part stay."""
    document = (kept("eta") if only else None) or {}
    document["machine"] = await machine.described(bench.servers)
    if only in {None, "simulated"}:
        document["simulated"] = [simulated(seed) for seed in SEEDS]
        for found in document["simulated"]:
            console.print(f"Simulated: {found}")
    if only in {None, "real"}:
        async with running_cluster(bench, {}) as cluster:
            usage = Usage(cluster.everything)
            port = cluster.services["dispatcher"][0].environ()["BATCHYARD_HEALTH_PORT"]
            document["real"] = await score_real(cluster, f"http://127.0.0.1:{port}/metrics")
            document["machine"]["share_of_processors_used_by_others"] = usage.others_share()
        console.print(f"Real: {document['real']}")
    conclude(console, "eta", document)
    return document


def simulated(seed: int) -> dict[str, Any]:
    """Return the score of 200 batches on a simulated clock."""
    found = score_simulated(seed, BATCHES)
    return {
        "seed": seed,
        "forecasts": found.all.forecasts,
        "under_p90": round(found.all.share_under_p90, 3),
        "inside": round(found.all.share_inside, 3),
        "gain": round(found.compared.gain, 3),
    }
