"""Starts the runs of schedules whose time has come.

A transaction decides on a run and records the id of its batch; the batch is then submitted under that id. A process
that dies in between leaves the run to another one, which asks first whether a batch with this id was accepted. So a run
starts once, also if nobody heard that its batch was accepted.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar, NamedTuple
from uuid import UUID

import structlog

from batchyard_contracts.v1.commands import BatchControl, BatchSubmit
from batchyard_contracts.v1.events import ScheduleFired
from batchyard_contracts.v1.templates import TemplateRun
from services.ingest.control.control_handler import BatchControlHandler
from services.ingest.domain.actor import INGEST, Actor
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.overlap import Skip, Start, WaitingRun, decide_overlap
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.schedule import KEY_ENDED, UNREAD_FOR, UNREADABLE, Schedule
from services.ingest.domain.submission_outcome import Accepted, Failed, Postponed, SubmissionOutcome
from services.ingest.domain.template import batch_of
from services.ingest.persistence.audit_log import act_as
from services.ingest.persistence.run_store import ClaimedRun, ClaimedRuns, RunKey, RunStore
from services.ingest.schedules.submission_attempt import try_submission
from services.ingest.submission.submit import BatchSubmitter
from services.ingest.templates.template_manager import TemplateManager
from shared.postgres.outbox import Outbox

log = structlog.get_logger()
_LIMIT = 20
_LOOK_AGAIN = timedelta(seconds=1)
"""Pause after which a run that waits for its predecessor is looked at again."""


class StartingRun(NamedTuple):
    """A run with the id under which its batch is submitted."""

    run: ClaimedRun
    batch_id: UUID


class RunStarter:
    """Background task of each replica that starts the runs that are due."""

    INTERVAL_S: ClassVar[float] = 1.0

    def __init__(
        self,
        runs: RunStore,
        templates: TemplateManager,
        submitter: BatchSubmitter,
        control_handler: BatchControlHandler,
        outbox: Outbox,
        new_id: Callable[[], UUID],
    ) -> None:
        self._runs = runs
        self._templates = templates
        self._submitter = submitter
        self._control_handler = control_handler
        self._outbox = outbox
        self._new_id = new_id

    async def update(self) -> float | None:
        """Start some runs; return 0 if more may be due."""
        begun: list[StartingRun] = []
        cancelled: list[tuple[RunKey, UUID]] = []
        async with self._runs.claim_runs(_LIMIT) as claimed:
            for schedule_id in claimed.active:
                of_schedule = [run for run in claimed.runs if run.key.schedule_id == schedule_id]
                await self._decide(claimed, of_schedule, begun, cancelled)
            if begun:
                await claimed.begin([(one.run.key, one.batch_id) for one in begun])
        try:
            for key, batch_id in cancelled:
                await self._cancel(key, batch_id)
            for starting in begun:
                await self._start(starting)
        finally:
            act_as(INGEST)
        return 0.0 if len(claimed.runs) == _LIMIT else None

    async def _decide(
        self,
        claimed: ClaimedRuns,
        runs: list[ClaimedRun],
        begun: list[StartingRun],
        cancelled: list[tuple[RunKey, UUID]],
    ) -> None:
        """Decide on the runs of one schedule, one after the other, each knowing of the decisions before."""
        active = claimed.active[runs[0].key.schedule_id]
        running = [run.batch_id for run in active if run.state in {"starting", "started"} and run.batch_id]
        waiting = [WaitingRun(run.nominal_at, run.origin) for run in active if run.state == "waiting"]
        starting = sum(run.state == "starting" for run in active)
        for run in sorted(runs, key=lambda one: one.key.nominal_at):
            if run.state == "starting" and run.batch_id:
                begun.append(StartingRun(run, run.batch_id))
                continue
            this = WaitingRun(run.key.nominal_at, run.key.origin)
            if not run.key_works:
                await claimed.end(run.key, "failed", KEY_ENDED)
                waiting.remove(this)
                continue
            decision = decide_overlap(this, run.overlap, running, waiting, starting=starting)
            if isinstance(decision, Start):
                batch_id = self._new_id()
                begun.append(StartingRun(run, batch_id))
                running.append(batch_id)
                starting += 1
                waiting.remove(this)
            elif isinstance(decision, Skip):
                await claimed.end(run.key, "skipped", decision.reason)
                waiting.remove(this)
            else:
                cancelled += [(run.key, batch_id) for batch_id in decision.cancel]
                await claimed.postpone(run.key, _LOOK_AGAIN)

    async def _start(self, starting: StartingRun) -> None:
        """Submit the batch of a run, and record that it has started, or why it does not."""
        run = starting.run
        schedule = await self._runs.schedule(run.key.schedule_id)
        if schedule is None:  # deleted meanwhile, with its runs
            return
        if schedule.unread and not run.is_accepted:
            if run.now < run.created_at + UNREAD_FOR:
                await self._runs.postpone(run.key, _LOOK_AGAIN)
            else:
                await self._runs.end(run.key, "failed", UNREADABLE)
            return
        act_as(Actor(schedule.owner, "service", schedule.key_id))
        outcome: SubmissionOutcome = Accepted()
        if not run.is_accepted:
            outcome = await try_submission(self._submit(schedule, starting)) if run.key_works else Failed(KEY_ENDED)
        if isinstance(outcome, Postponed):
            await self._runs.postpone(run.key, outcome.pause)
        elif isinstance(outcome, Failed):
            log.info("scheduled run failed", schedule_id=str(run.key.schedule_id), reason=outcome.reason)
            await self._runs.end(run.key, "failed", outcome.reason)
        else:
            event = ScheduleFired(
                workload=schedule.workload,
                owner=schedule.owner,
                schedule=schedule.name,
                nominal_at=run.key.nominal_at,
                origin=run.key.origin,
                batch_id=starting.batch_id,
                at=run.now,
            )
            await self._outbox.deliver(await self._runs.record_started(run.key, event))

    async def _submit(self, schedule: Schedule, starting: StartingRun) -> None:
        await self._submitter.submit(schedule.owner, await self._command(schedule, starting))

    async def _command(self, schedule: Schedule, starting: StartingRun) -> BatchSubmit:
        form, run = schedule.form, starting.run
        if form.template is None:
            command = batch_of(form.batch or {}, TemplateRun(batch_id=starting.batch_id))
            if isinstance(command, Rejection):
                raise IngestError(command)
        else:
            recorded = run.template_version if run.template == form.template else None
            version = recorded or form.template_version
            if version is None:
                version = (await self._templates.get(schedule.owner, form.template)).version
            if recorded is None:
                await self._runs.record_version(run.key, form.template, version)
            previous = await self._runs.previous_success(run.key)
            built_in = {
                "@nominal_at": run.key.nominal_at.isoformat(),
                "@previous_success_at": previous.isoformat() if previous else None,
            }
            submission = TemplateRun(parameters=form.parameters, version=version, batch_id=starting.batch_id)
            command = await self._templates.command(schedule.owner, form.template, submission, built_in)
        return command if command.name else command.model_copy(update={"name": schedule.name})

    async def _cancel(self, key: RunKey, batch_id: UUID) -> None:
        schedule = await self._runs.schedule(key.schedule_id)
        if schedule is None:
            return
        act_as(Actor(schedule.owner, "service", schedule.key_id))
        command = BatchControl(batch_id=batch_id, action="cancel")
        command_id = f"schedule:{key.schedule_id}:{key.nominal_at.isoformat()}:{batch_id}"
        try:
            await self._control_handler.control(schedule.owner, command, command_id)
        except IngestError as error:  # it has ended meanwhile
            log.info("predecessor not cancelled", batch_id=str(batch_id), code=error.rejection.code)
