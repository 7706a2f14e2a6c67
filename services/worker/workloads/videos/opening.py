"""Opens the resources that all items of one worker share, by the settings."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from services.worker.workloads.videos.artefacts.store import ClipStore, fault_of, open_store
from services.worker.workloads.videos.clip_workflow import ClipWorkflow
from services.worker.workloads.videos.job_slots import JobSlots
from services.worker.workloads.videos.providers.client import ProviderClient, open_client
from services.worker.workloads.videos.providers.openai import OpenAiDialect
from services.worker.workloads.videos.providers.provider import VideoProvider
from services.worker.workloads.videos.providers.replicate import Replicate
from services.worker.workloads.videos.settings import VideosSettings
from services.worker.workloads.videos.work import LONGEST
from shared.redis.client import RedisClient
from shared.redis.spending import SpendingLimit
from shared.runtime.settings import Settings

_SPARE_S = 120.0


@dataclass(frozen=True, slots=True)
class VideoResources:
    """Resources that all items share: the store, and the workflow of a provider unless clips are drawn here."""

    settings: VideosSettings
    store: ClipStore
    workflow: ClipWorkflow | None = None


def lacking() -> str | None:
    """Return the missing setting; None when nothing is missing."""
    settings = VideosSettings()
    return settings.missing() or fault_of(settings)


@asynccontextmanager
async def open_resources() -> AsyncIterator[VideoResources]:
    """Open the store and the provider; both close with the worker."""
    settings = VideosSettings()
    async with AsyncExitStack() as stack:
        store = open_store(settings)
        if settings.provider == "local":
            yield VideoResources(settings, store)
            return
        provider = provider_of(settings, await stack.enter_async_context(open_client(settings)))
        memory = RedisClient(Settings().redis_url)
        stack.push_async_callback(memory.close)
        slots = JobSlots(memory, settings.jobs, 2 * LONGEST * settings.poll_s + settings.download_s + _SPARE_S)
        spending = None if settings.max_cost is None else SpendingLimit(memory, "videos", settings.max_cost)
        yield VideoResources(settings, store, ClipWorkflow(provider, settings, store, slots, time.time, spending))


def provider_of(settings: VideosSettings, client: ProviderClient) -> VideoProvider:
    """Open the provider that the settings name."""
    if settings.provider == "replicate":
        return Replicate(client, settings.names)
    return OpenAiDialect(client, settings.reference)
