"""Steps by which an item gets its clip from a provider: each run does one, and stores its result before the next.

That a job is to be created is on record before the call, and its id right after it. A run that finds the intent on
record and may not be the first one with it creates nothing: it looks in the provider's list for what the first one may
have made.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from batchyard_contracts.workload import Ambiguous, Context, Continuation, Permanent, Transient, WorkloadError
from services.worker.workloads.videos.artefacts.store import ClipStore
from services.worker.workloads.videos.download import NotReady, download
from services.worker.workloads.videos.job_slots import JobSlots
from services.worker.workloads.videos.model import Clip, Video
from services.worker.workloads.videos.providers.provider import (
    JobRequest,
    MayExist,
    NoList,
    NoSuchJob,
    ProviderJob,
    VideoProvider,
)
from services.worker.workloads.videos.providers.verdict import of_failure
from services.worker.workloads.videos.settings import PREFIX, VideosSettings
from services.worker.workloads.videos.work import Work, pause_s
from shared.redis.spending import SpendingLimit

log = structlog.get_logger()
MAX_TRIES = 2
"""Largest number of jobs for one item in one round: a job that failed through no fault of the item is created again."""
_LAST_WORD_S = 3.0
"""Seconds for which an interrupted run waits for the answer of a creating call."""
UNSTATED_SECONDS = 10
"""Seconds of a clip whose item does not say how long it is, for the limit of what a batch may cost."""
READY_S = 600.0
"""Seconds for which the file of a finished job is asked for while something else comes in its place."""
_UNASKED_S = 900.0
"""Seconds for which an unavailable list is requested again."""


@dataclass(frozen=True, slots=True)
class ClipWorkflow:
    """Steps that lead an item to its clip, shared by all items of one worker. `clock` gives seconds since 1970."""

    provider: VideoProvider
    settings: VideosSettings
    store: ClipStore
    slots: JobSlots
    clock: Callable[[], float]
    spending: SpendingLimit | None = None
    """Limit of what the jobs of a batch may cost; None: there is none."""

    async def run(self, video: Video, context: Context) -> Clip | Continuation:
        """Run the next step of an item; raises the error with which the item fails."""
        work = Work.read(context.state) or Work(step="waiting", provider=self.provider.name, since=self.clock())
        if work.provider != self.provider.name:
            raise Ambiguous(f"Its job is {work.job_id or 'perhaps'} at {work.provider}, which is no longer asked.")
        name = context.idempotency_key
        try:
            answer = await self._step(work, video, context)
        except WorkloadError as error:
            if isinstance(error, Permanent | Ambiguous):
                await self.slots.free(name)
            raise
        except asyncio.CancelledError:
            if work.step != "made":
                raise
            return self._later(work)  # so that whoever ended this run knows that there is a job
        if isinstance(answer, Clip):
            await self.slots.free(name)
        return answer

    async def cancel(self, context: Context) -> None:
        """Cancel the job of an item whose batch was stopped, and release its slot."""
        work = Work.read(context.state)
        if work and work.job_id and work.provider == self.provider.name:
            with suppress(NoSuchJob):
                await self.provider.cancel(work.job_id)
            log.info("job cancelled", batch_id=str(context.batch_id), ordinal=context.ordinal, job_id=work.job_id)
        await self.slots.free(context.idempotency_key)

    async def _step(self, work: Work, video: Video, context: Context) -> Clip | Continuation:
        name = context.idempotency_key
        wanted = JobRequest(video, video.model or self.settings.model, work.reference(name))
        match work.step:
            case "waiting":
                if not await self.slots.take(name):
                    return self._later(work.again())
                return self._continue(self._next(work, "intended"), 0.0)
            case "intended":
                await self.slots.keep(name)
                if context.rerun:  # not at once: another item's job may have no owner for a moment
                    return self._later(self._next(work, "unsure"))
                await self._reserve(work, video, context)
                return await self._create(work, wanted, name)
            case "unsure":
                return await self._find(work, wanted, name)
            case "made":
                await self.slots.keep(name)
                return await self._look(work, video, context)

    async def _reserve(self, work: Work, video: Video, context: Context) -> None:
        """Reserve the price of a job. Raises `Permanent` where it would exceed the limit of the batch."""
        price = self.settings.price_per_second
        if self.spending is None or price is None:
            return
        seconds = video.seconds or UNSTATED_SECONDS
        match await self.spending.reserve(context.batch_id, _call(work, context), price * seconds):
            case "exceeded":
                raise Permanent(
                    "over_budget",
                    f"The batch may cost {self.spending.most:g} ({PREFIX}MAX_COST), and this clip could exceed "
                    "that: no job was created.",
                )
            case "unknown":
                raise Transient("spending_unknown", "Redis is away, so what the batch has cost is not known.")

    async def _create(self, work: Work, wanted: JobRequest, name: str) -> Continuation:
        """Create a job. An interrupted run still records whether the job exists, or that this is unknown."""
        unsure = self._next(work, "unsure")
        calling = asyncio.ensure_future(self.provider.create(wanted))
        try:
            job = await asyncio.shield(calling)
        except MayExist as error:
            log.warning("job may exist", reference=wanted.reference, why=str(error))
            return self._later(unsure)
        except asyncio.CancelledError:
            if calling.cancelled():
                raise
            with suppress(asyncio.CancelledError):
                await asyncio.wait({calling}, timeout=_LAST_WORD_S)
            if not calling.done():
                calling.cancel()
                return self._later(unsure)
            if isinstance(calling.exception(), MayExist):
                return self._later(unsure)
            job = calling.result()
        await self.slots.claim(job.id, name)
        return self._later(self._next(work, "made", job_id=job.id), job.progress)

    async def _find(self, work: Work, wanted: JobRequest, name: str) -> Continuation:
        """Search for the job that may have been created, until it would have been listed."""
        looked_s = self.clock() - work.since
        try:
            alike = await self.provider.alike(wanted, max(0.0, self.clock() - work.intended_at))
        except NoList:
            raise Ambiguous(f"{_PERHAPS} It shows no list to look in.") from None
        except (Transient, NoSuchJob) as error:
            if looked_s > _UNASKED_S:
                raise Ambiguous(f"{_PERHAPS} Its list could not be had: {error}") from error
            return self._later(work.again())
        found = await self.slots.unclaimed(alike, name)
        if len(found) == 1 and await self.slots.claim(found[0], name):
            log.info("job found again", reference=wanted.reference, job_id=found[0])
            return self._continue(self._next(work, "made", job_id=found[0]), 0.0)
        if len(found) > 1:
            raise Ambiguous(f"{_PERHAPS} It lists {len(found)} that could be it: {', '.join(found[:5])}.")
        if looked_s < self.settings.settle_s:
            return self._later(work.again())
        if self.settings.uncertain == "create" and work.tries < MAX_TRIES:
            return self._continue(self._next(work, "intended", tries=work.tries + 1), 0.0)
        raise Ambiguous(f"{_PERHAPS} It lists none that could be it. Look there, then retry the item or leave it.")

    async def _look(self, work: Work, video: Video, context: Context) -> Clip | Continuation:
        job_id = work.job_id or ""
        late = self.clock() - work.since > self.settings.deadline_s
        try:
            job = await self.provider.look(job_id)
        except NoSuchJob:
            if work.missing:
                raise Permanent("job_lost", f"The provider does not know job {job_id} any more.") from None
            return self._later(work.again().model_copy(update={"missing": True}))
        except Transient as error:  # that says nothing of the job, which goes on
            if late:
                raise self._timeout(work, f"It could not be asked for ({error.code}), and was left there.") from error
            return self._later(work.again())
        work = work.model_copy(update={"missing": False})
        if job.status == "succeeded":
            return await self._fetch(work, job, video, context, late=late)
        return await self._go_on(work, job, late=late)

    async def _go_on(self, work: Work, job: ProviderJob, *, late: bool) -> Continuation:
        """Go on with an item whose job has no clip; raises the error with which the item fails."""
        match job.status:
            case "queued" | "running" | "unknown" if not late:
                return self._later(work.again(), job.progress)
            case "queued" | "running":
                with suppress(NoSuchJob, WorkloadError):
                    await self.provider.cancel(job.id)
                raise self._timeout(work, "It was cancelled.")
            case "cancelled":
                raise Permanent("cancelled_at_provider", f"Job {job.id} was cancelled there.")
            case "failed" if job.failure is not None:
                error = of_failure(job.failure, tries_left=work.tries < MAX_TRIES)
                if not isinstance(error, Transient):
                    raise error
                log.warning("job failed, made once more", job_id=job.id, why=error.message)
                return self._continue(self._next(work, "intended", tries=work.tries + 1), self.settings.poll_s)
        # Its status is not known, so it may have finished: what was paid for is not deleted.
        raise self._timeout(work, f"The provider calls its status {job.word!r}, which is not known; it was left there.")

    def _timeout(self, work: Work, what: str) -> Permanent:
        return Permanent("job_timeout", f"Job {work.job_id} had no end after {self.settings.deadline_s:g} s. {what}")

    async def _fetch(
        self, work: Work, job: ProviderJob, video: Video, context: Context, *, late: bool
    ) -> Clip | Continuation:
        """A download that breaks off, or a file that is not there yet, does not fail a job that was paid for: it is
        begun anew, until the deadline or for ten minutes. The job is never deleted."""
        work = work.model_copy(update={"finished_at": work.finished_at or self.clock()})
        name = f"{context.batch_id}/{context.ordinal}-{context.round}"
        settings = self.settings
        try:
            async with asyncio.timeout(settings.download_s):
                kept = await download(self.provider, job, self.store, name, settings.max_bytes)
        except NotReady as error:
            if self.clock() - (work.finished_at or 0.0) > READY_S:
                raise error.error from error
            log.warning("file not ready", job_id=job.id, why=str(error))
            return self._later(work.again(), 1.0)
        except (Transient, TimeoutError) as error:
            if late:
                message = f"Job {job.id} succeeded, and its file could not be had: {error}. It was left there."
                raise Permanent("download_failed", message) from error
            log.warning("download broke off", job_id=job.id, why=str(error))
            return self._later(work.again(), 1.0)
        seconds = job.seconds or (float(video.seconds) if video.seconds else None)
        price = settings.price_per_second
        cost = round(price * seconds, 6) if price is not None and seconds is not None else None
        if self.spending is not None and cost is not None:
            await self.spending.settle(context.batch_id, _call(work, context), cost)
        return Clip(
            uri=kept.uri,
            bytes=kept.bytes,
            sha256=kept.sha256,
            content_type=kept.content_type,
            seconds=seconds,
            size=job.size or video.size,
            provider=self.provider.name,
            model=job.model or video.model or settings.model or None,
            job_id=job.id,
            cost=cost,
        )

    def _next(self, work: Work, step: str, **changes: object) -> Work:
        """Begin another step, which is stored with the result of this run before the next run acts on it."""
        now = self.clock()
        intended_at = now if step == "intended" else work.intended_at
        record = {"step": step, "provider": work.provider, "since": now, "intended_at": intended_at}
        return Work.model_validate({"tries": work.tries, **record, **changes})

    def _later(self, work: Work, progress: float | None = None) -> Continuation:
        return self._continue(work, pause_s(work.runs, self.settings.poll_s, random.random()), progress)

    def _continue(self, work: Work, delay_s: float, progress: float | None = None) -> Continuation:
        return Continuation(work.kept(), delay_s, progress)


def _call(work: Work, context: Context) -> str:
    return f"{context.ordinal}:{context.round}:{work.tries}"


_PERHAPS = "The provider may have been asked for this clip already, so it is not asked again."
