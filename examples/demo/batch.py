"""Submits one batch as an AMQP command, draws it until it has ended, and collects what came of it."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from rich.console import Console

from batchyard_contracts.client import Client, Notifications
from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.queries import FailureGroup
from batchyard_contracts.v1.values import ItemResult
from examples.demo.finished_events import finished_events
from services.cli.client.documents import Counts
from services.cli.client.follow import Snapshot
from services.cli.rendering.progress_bar import Progress

WORKLOAD = "tracklists"
WITHIN_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """All that the demo saw of its batch, over AMQP."""

    batch_id: UUID
    trace_id: str
    acknowledged_ms: float
    finished: BatchFinished
    events: list[BatchFinished]
    event_traces: list[str]
    results: list[ItemResult]
    failures: list[FailureGroup]


async def run_batch(amqp_url: str, urls: Sequence[str], notify: Notifications, console: Console) -> Outcome:
    """Subscribe, submit, watch, and read the results."""
    batch_id = new_batch_id()
    trace_id = secrets.token_hex(16)
    traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
    async with (
        asyncio.timeout(WITHIN_S),
        Client.connect(amqp_url, traceparent=lambda: traceparent) as client,
        finished_events(amqp_url, batch_id) as ends,
        client.events(batch_id) as events,
    ):
        began = time.perf_counter()
        items = [{"url": url} for url in urls]
        accepted = await client.submit(WORKLOAD, items, name="Demo", notify=notify, batch_id=batch_id)
        took = (time.perf_counter() - began) * 1000
        console.print(f"   accepted in {took:.0f} ms: {accepted.batch_id}")
        finished = None
        with Progress(console, "  ").shown() as progress:
            async for event in events:
                if isinstance(event, BatchProgressed):
                    counts = _counts(event)
                    progress.draw(Snapshot(event.status, counts, None, event.items_per_s, event.eta_s, {}))
                elif isinstance(event, BatchFinished):
                    finished = event
                    progress.draw(Snapshot("finished", _counts(event), event.result, None, None, {}))
        if finished is None:
            raise AssertionError("the events of a batch end with its end")
        return Outcome(
            batch_id,
            trace_id,
            took,
            finished,
            ends.events,
            ends.traceparents,
            [item async for item in client.results(batch_id)],
            await client.failures(batch_id),
        )


def _counts(event: BatchProgressed | BatchFinished) -> Counts:
    """Return the counts of an event as the command line draws them."""
    return msgspec.convert(event.counts.model_dump(), Counts)
