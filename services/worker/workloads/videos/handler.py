"""The workload `videos`: clips by a provider's jobs, or test pictures drawn here."""

import asyncio
from collections.abc import AsyncIterator

from batchyard_contracts.v1.manifest import CircuitRule
from batchyard_contracts.v1.values import RetryRule
from batchyard_contracts.workload import Chunking, Context, Continuation, Limits, Retry, Transient, Workload
from services.worker.workloads.videos import local
from services.worker.workloads.videos.download import keep
from services.worker.workloads.videos.model import Clip, Video
from services.worker.workloads.videos.opening import VideoResources, lacking, open_resources
from services.worker.workloads.videos.settings import VideosSettings
from services.worker.workloads.videos.summary import ClipReducer

workload = Workload(
    "videos",
    version="1",
    item=Video,
    result=Clip,
    lifespan=open_resources,
    unavailable=lacking,
    title="Videos",
    description="Makes short clips from prompts, by a provider's jobs or, unless one is set, as test pictures, and "
    "keeps the files.",
    dedup="",
    chunking=Chunking(max=1),
    limits=Limits(
        concurrency=3,
        item_timeout_s=300.0,
        max_items=lambda: VideosSettings().max_items,
    ),
    retry=Retry({"default": RetryRule(attempts=4, base_s=2.0, cap_s=120.0)}, circuit=CircuitRule()),
    example={"prompt": "A crane at dawn, seen from the river", "seconds": 4, "size": "320x180"},
)


workload.summary(ClipReducer)


@workload.handler
async def run(item: Video, context: Context) -> Clip | Continuation:
    """Run one step of a provider's job, or draw the whole picture."""
    resources: VideoResources = context.resources
    if resources.workflow is not None:
        return await resources.workflow.run(item, context)
    return await _draw(item, context, resources)


@workload.external_cancel
async def cancel(_: Video, context: Context) -> None:
    """Cancel the job of an item."""
    resources: VideoResources = context.resources
    if resources.workflow is not None:
        await resources.workflow.cancel(context)


async def _draw(item: Video, context: Context, resources: VideoResources) -> Clip:
    size, seconds = local.size_of(item.size), item.seconds or local.SECONDS
    try:
        file = await asyncio.to_thread(
            local.render, item.prompt, item.seed or 0, size, seconds, await asyncio.to_thread(local.find_ffmpeg)
        )
    except OSError as error:
        raise Transient("renderer_failed", str(error)) from error
    name = f"{context.batch_id}/{context.ordinal}-{context.round}"
    kept = await keep(_once(file), resources.store, name, resources.settings.max_bytes)
    return Clip(
        uri=kept.uri,
        bytes=kept.bytes,
        sha256=kept.sha256,
        content_type=kept.content_type,
        seconds=float(seconds),
        size=f"{size[0]}x{size[1]}",
        provider="local",
    )


async def _once(file: bytes) -> AsyncIterator[bytes]:
    yield file
