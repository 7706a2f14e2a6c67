"""Runs a small batch of each other built-in workload, as a user would hand it in, and checks how it ends."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from batchyard_contracts.client import Client
from batchyard_contracts.v1.commands import CommandAccepted
from batchyard_contracts.v1.events import BatchFinished
from examples.demo.checks import Check
from services.cli.client.address import Address
from services.cli.client.http_client import HttpClient, open_client
from services.cli.client.upload import Submission
from services.cli.local_cluster import LocalCluster
from services.cli.parsing.items import format_of
from shared.json.summary import summary_lines
from tests.support.tracklist_kinds import page_url

EXAMPLES = Path(__file__).resolve().parents[1]
WITHIN_S = 60.0


@dataclass(frozen=True)
class Sample:
    """A batch: a file among the examples, a source, or items."""

    workload: str
    file: str | None = None
    source: dict[str, Any] | None = None
    items: Sequence[dict[str, Any]] = ()
    tell: Callable[[Any], str] | None = None
    """Text about its summary; without one, as much of the summary as there is room for."""


@dataclass(frozen=True)
class Sampled:
    """The end of a batch."""

    sample: Sample
    finished: BatchFinished
    took_s: float

    @property
    def workload(self) -> str:
        """Workload of the batch."""
        return self.sample.workload

    @property
    def outcome(self) -> str:
        """Return the line that describes the batch."""
        counts, summary = self.finished.counts, self.finished.summary
        ended = f"{counts.succeeded} of {counts.total} in {self.took_s:.1f} s"
        if summary is None:
            return ended
        tell = self.sample.tell
        facts = tell(summary) if tell else "; ".join(f"{name} {text}".strip() for name, text in summary_lines(summary))
        return f"{ended}. {facts}"


def samples(origins: Sequence[str]) -> list[Sample]:
    """One of each workload, in the order of the report."""
    calls = [{"url": page_url(origin, "ok", 9000), "success": {"matches": "tracklist"}} for origin in origins]
    criteria = orjson.loads((EXAMPLES / "leads-criteria.json").read_bytes())
    clip = {"prompt": "A crane at dawn, seen from the river", "seconds": 2, "size": "320x180"}
    return [
        Sample("distances", file="distances.csv", tell=_nearest),
        Sample("predictions", file="predictions-portfolio.ndjson", tell=_portfolio),
        Sample("leads", source=criteria | {"purchase": True, "max_results": 800, "budget": 0}, tell=_bought),
        Sample("videos", items=[{"payload": clip}], tell=_clips),
        Sample("http", items=[{"payload": call} for call in calls]),
    ]


async def run_others(running: LocalCluster, wanted: Sequence[Sample]) -> list[Sampled]:
    """Hand all of them in, and wait for their ends."""
    async with (
        asyncio.timeout(WITHIN_S),
        open_client(Address(running.url, running.token)) as http,
        Client.connect(running.amqp_url) as client,
    ):
        return list(await asyncio.gather(*(_run(http, client, sample) for sample in wanted)))


def check_others(ended: Sequence[Sampled]) -> Check:
    """All items of all of them succeeded, and nothing kept a summary from being made."""
    wrong = [
        f"{one.workload}: {one.finished.result} {one.finished.summary_error or ''}".strip()
        for one in ended
        if one.finished.result != "completed" or one.finished.summary_error
    ]
    names = ", ".join(one.workload for one in ended)
    return Check("other workloads", not wrong, "; ".join(wrong) or f"{names}: completed")


def _nearest(summary: Any) -> str:
    ranked = [(ranking["job"], ranking["nearest"][0]) for ranking in summary["jobs"] if ranking["nearest"]]
    return "First there: " + ", ".join(
        f"{job} {near['contractor']}, {near['seconds'] / 60:.0f} min" for job, near in ranked
    )


def _portfolio(summary: Any) -> str:
    cost, end = summary["final_cost"], summary["completion_date"]
    return (
        f"Cost {cost['value']:,.0f}, from {cost['lowest']:,.0f} to {cost['highest']:,.0f}; "
        f"done on {end['value']}; {summary['risk'].get('high', 0)} at high risk"
    )


def _bought(summary: Any) -> str:
    return f"{summary['records']} records on {summary['pages']} pages for {summary['cost']}"


def _clips(summary: Any) -> str:
    return f"{summary['seconds']:g} s to play, {summary['bytes'] / 1e6:.1f} MB"


async def _run(http: HttpClient, client: Client, sample: Sample) -> Sampled:
    began = time.monotonic()
    batch_id = await _submitted(http, sample)
    finished = await client.wait(batch_id)
    return Sampled(sample, finished, time.monotonic() - began)


async def _submitted(http: HttpClient, sample: Sample) -> UUID:
    options = {"workload": sample.workload, "name": "Demo"}
    submission = Submission(http, options, None, lambda _: None, CommandAccepted.decode)
    if sample.file:
        with (EXAMPLES / sample.file).open("rb") as file:
            return (await submission.file(file, format_of(sample.file, b""))).batch_id
    if sample.source:
        return (await submission.source(orjson.dumps(sample.source), estimate=False)).batch_id
    return (await submission.items([orjson.dumps(item) for item in sample.items])).batch_id
