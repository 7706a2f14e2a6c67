"""Takes both limits with the chunks and the rows of a real batch: `limits.json`."""

import tempfile
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from benchmarks import batchyard, machine
from benchmarks.bench_servers import BenchServers
from benchmarks.cluster import running_cluster
from benchmarks.limits.broker import chunks_of, passed
from benchmarks.limits.rows import CONNECTIONS, ROWS, inserted, rows_of
from benchmarks.processes import CLIENT, Usage, servers_of
from benchmarks.report import conclude, number
from benchmarks.summary import Summary
from benchmarks.work import HUNDRED, check


async def limits(bench: BenchServers, console: Console, runs: int) -> dict[str, Any]:
    """Measure and write."""
    on = await machine.described(bench.servers)
    async with running_cluster(bench, {}) as cluster:
        check(HUNDRED, await batchyard.run(cluster, HUNDRED))  # chunks have found their size after it
        chunks = await chunks_of(cluster, HUNDRED)
        rows = await rows_of(cluster.servers.database_url, HUNDRED.items)
    servers = cluster.servers  # they outlive the services, which would disturb
    usage = Usage({**servers_of(servers), CLIENT: [psutil.Process()]})
    with tempfile.TemporaryDirectory(prefix="limits-") as folder:
        taken = [await passed(servers.amqp_url, f"limit.{n}", chunks, Path(folder)) for n in range(runs)]
    copied = [await inserted(servers.database_url, rows) for _ in range(runs)]
    document = {
        "machine": on,
        "others_share": {"max": usage.others_share()},
        "items": HUNDRED.items,
        "publish_consume": {
            "title": f"publish and consume of the same {len(chunks)} chunks, nothing else",
            "messages": len(chunks),
            "items_per_s": Summary.of([HUNDRED.items / seconds for seconds in taken]).document(),
            "messages_per_s": Summary.of([len(chunks) / seconds for seconds in taken]).document(),
        },
        "insert": {
            "title": f"COPY of the same outcome rows, {ROWS:,} a transaction on {CONNECTIONS} connections",
            "items_per_s": Summary.of([len(rows) / seconds for seconds in copied]).document(),
        },
    }
    for name in ("publish_consume", "insert"):
        console.print(f"{document[name]['title']}: {number(document[name]['items_per_s']['median'])} items/s")  # type: ignore[index]
    conclude(console, "limits", document)
    return document
