"""The workload `tracklists`: a page of 1001tracklists.com becomes tracks, a quality score and CUE sheets."""

import asyncio

from batchyard_contracts.v1.manifest import CircuitRule, Partition, TextExport
from batchyard_contracts.v1.values import Rate, RetryRule
from batchyard_contracts.workload import Caching, Chunking, Context, Exports, Limits, Retry, Workload, WorkloadError
from services.worker.workloads.tracklists.answer import judge, judge_saved
from services.worker.workloads.tracklists.example import EXAMPLE
from services.worker.workloads.tracklists.fetch import Fetcher, open_fetcher
from services.worker.workloads.tracklists.model import Tracklist, TracklistItem, TracklistResult
from services.worker.workloads.tracklists.policy import refusals
from services.worker.workloads.tracklists.result import make_result
from services.worker.workloads.tracklists.settings import LIVE_HOST
from services.worker.workloads.tracklists.summary import TracklistReducer

CRAWL_DELAY_SECONDS = 8
"""Delay that the site's robots.txt asks of every crawler; kept by the whole deployment together."""

workload = Workload(
    "tracklists",
    version="1",
    item=TracklistItem,
    result=TracklistResult,
    lifespan=open_fetcher,
    refusals=refusals,
    title="Tracklists",
    description="Reads tracklist pages: tracks, cue times, a quality score and CUE sheets. Send saved pages as `html`, "
    "or addresses where fetching is allowed.",
    partition=Partition(pointer="/url", by="host"),
    dedup="",
    chunking=Chunking(max=20),
    limits=Limits(
        concurrency=16,
        rates={LIVE_HOST: Rate(per_second=1 / CRAWL_DELAY_SECONDS, burst=1)},
        partition_concurrency=8,
    ),
    retry=Retry(
        {
            "default": RetryRule(attempts=4, base_s=1.0, cap_s=120.0),
            # A shell or a strange page is looked at once more, after a while, before it is believed.
            "not_found": RetryRule(attempts=2, base_s=5.0, cap_s=60.0),
            "invalid_response": RetryRule(attempts=2, base_s=5.0, cap_s=60.0),
        },
        circuit=CircuitRule(base_s=1800.0, cap_s=86_400.0, give_up_s=86_400.0, partitions=[LIVE_HOST]),  # any gate
    ),
    caching=Caching(ttl_s=7 * 24 * 3600),
    exports=Exports(
        {"cue": TextExport(content="/cue", filename="/slug", suffix=".cue", media_type="application/x-cue")}
    ),
    example=EXAMPLE,
)


workload.summary(TracklistReducer)


@workload.handler
async def run(item: TracklistItem, context: Context) -> TracklistResult:
    """Fetch the page, unless it came with the item, and read it. Reading is done in a thread: pages can be large."""
    if item.html:
        return await asyncio.to_thread(lambda: _result(judge_saved(item.html, item.url), item))
    fetcher: Fetcher = context.resources
    answer = await fetcher.fetch(item.url)
    if answer.remaining:
        context.report_remaining(answer.remaining.calls, answer.remaining.reset_s)
    return await asyncio.to_thread(lambda: _result(judge(answer), item))


def _result(read: Tracklist | WorkloadError, item: TracklistItem) -> TracklistResult:
    if isinstance(read, WorkloadError):
        raise read
    return make_result(read, cue_bom=item.cue_bom)
