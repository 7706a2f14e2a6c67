"""Parts of ingest that know templates and schedules, wired to each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.ingest.control.control_handler import BatchControlHandler
from services.ingest.persistence.follow_up_store import FollowUpStore
from services.ingest.persistence.run_store import RunStore
from services.ingest.persistence.schedule_store import ScheduleStore
from services.ingest.persistence.template_store import TemplateStore
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.schedules.due_schedules import DueSchedules
from services.ingest.schedules.follow_up_starter import FollowUpStarter
from services.ingest.schedules.run_starter import RunStarter
from services.ingest.schedules.schedule_manager import ScheduleManager
from services.ingest.schedules.zone_data_update import ZoneDataUpdate
from services.ingest.submission.append import BatchAppender
from services.ingest.submission.submit import BatchSubmitter
from services.ingest.templates.built_in import enter_built_in
from services.ingest.templates.template_manager import TemplateManager
from shared.postgres.outbox import Outbox
from shared.postgres.pool import Pool
from shared.runtime.background import BackgroundTask
from shared.runtime.health import Health
from shared.runtime.transient import retry_transient


@dataclass(frozen=True, slots=True)
class Scheduling:
    """Templates, schedules, and the background tasks that start their runs."""

    templates: TemplateManager
    schedules: ScheduleManager
    store: ScheduleStore
    follow_ups: FollowUpStore
    tasks: Sequence[BackgroundTask]


async def open_scheduling(
    pool: Pool,
    outbox: Outbox,
    submitter: BatchSubmitter,
    appender: BatchAppender,
    control_handler: BatchControlHandler,
    aggregator: AggregatorClient,
    health: Health,
    new_id: Callable[[], UUID],
    clock: Callable[[], datetime],
    *,
    max_schedules: int,
) -> Scheduling:
    """Enter the templates that come with Batchyard, and return the parts."""
    template_store, store, runs = TemplateStore(pool), ScheduleStore(pool), RunStore(pool)
    await retry_transient(lambda: enter_built_in(template_store), "PostgreSQL")
    templates = TemplateManager(template_store, submitter, clock)
    follow_ups = FollowUpStore(pool)
    follow_up_starter = FollowUpStarter(follow_ups, templates, submitter, appender, control_handler, aggregator, new_id)
    zone_data = ZoneDataUpdate(runs)
    starter = RunStarter(runs, templates, submitter, control_handler, outbox, new_id)
    tasks = (
        BackgroundTask(
            health.pulse("schedules"), DueSchedules(runs, outbox).update, interval_s=DueSchedules.INTERVAL_S
        ),
        BackgroundTask(health.pulse("data of time zones"), zone_data.update, interval_s=ZoneDataUpdate.INTERVAL_S),
        BackgroundTask(health.pulse("runs of schedules"), starter.update, interval_s=RunStarter.INTERVAL_S),
        BackgroundTask(
            health.pulse("follow-up batches"),
            follow_up_starter.update,
            interval_s=FollowUpStarter.INTERVAL_S,
            tolerates_outages=True,
        ),
    )
    schedules = ScheduleManager(store, templates, new_id, per_owner=max_schedules)
    return Scheduling(templates, schedules, store, follow_ups, tasks)
