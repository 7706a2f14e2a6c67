"""Puts the aggregator together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import (
    BatchAccepted,
    BatchControlled,
    BatchSealed,
    BatchStopped,
    BatchWithdrawn,
    ItemsSettled,
    SummaryMade,
)
from batchyard_contracts.v1.queries import BatchesQuery, FailuresQuery, ResultsQuery, SelectionQuery
from services.aggregator.domain.report import Report
from services.aggregator.domain.summary import Patience
from services.aggregator.handlers.batches import ControlHandler
from services.aggregator.handlers.outcomes import OutcomesHandler
from services.aggregator.handlers.queries import QuestionsHandler
from services.aggregator.handlers.summaries import SummariesHandler
from services.aggregator.maintenance.reconciler import Reconciler
from services.aggregator.maintenance.summary_requester import Summaries
from services.aggregator.persistence.outbox import Outbox
from services.aggregator.persistence.store import Store
from services.aggregator.publishing.batch_changes import Telling
from services.aggregator.publishing.failure_events import FailureNews
from services.aggregator.publishing.progress_events import Progress
from services.aggregator.settings import AggregatorSettings
from shared.messaging.batch_consumer import BatchConsumer
from shared.messaging.connection import connect
from shared.messaging.consumer import Consumer, Route
from shared.messaging.publisher import Publisher
from shared.messaging.topology import declare
from shared.postgres.pool import open_pool
from shared.runtime.process import Runtime

NAME = "aggregator"
_CONTROLS_AT_ONCE = 2
_ASIDE_AT_ONCE = 4
"""Messages of many settled items in one transaction, which holds the lock of their batch only briefly."""
_QUESTIONS_AT_ONCE = 5


@asynccontextmanager
async def app(settings: AggregatorSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Run until the block is left; then finish what is in hand, publish what was decided, and disconnect."""
    health = runtime.health
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, NAME, "services.aggregator.persistence")
        stack.push_async_callback(pool.close)
        publisher = await Publisher.open(settings.amqp_url, NAME)
        stack.push_async_callback(publisher.close)
        await declare(publisher.connection)
        consuming = await connect(settings.amqp_url, f"{NAME}-consume")
        stack.push_async_callback(consuming.close)

        store = Store(pool)
        outbox = Outbox(store, publisher, health.pulse("outbox"), settings.ledger_outbox_sweep_s)
        progress = Progress(publisher.publish, health.pulse("progress"))
        news = FailureNews(publisher.publish, health.pulse("failures"))
        due = asyncio.Event()
        telling = Telling(outbox, progress, due.set)
        patience = Patience(settings.ledger_summary_tries, settings.ledger_summary_s)
        summaries = Summaries(store, publisher, telling, due, health.pulse("summaries"), _now, patience)
        summarized = SummariesHandler(store, telling, _now)
        outcomes = OutcomesHandler(store, telling, news, _now)
        control = ControlHandler(store, telling, _now)
        questions = QuestionsHandler(store, progress)
        reconciler = Reconciler(
            store,
            telling,
            health.pulse("reconciler", limit_s=180),
            _now,
            every_s=settings.ledger_reconcile_s,
            quiet_s=settings.ledger_quiet_s,
        )
        stream = BatchConsumer(
            consuming,
            publisher,
            topology.AGGREGATOR_OUTCOMES,
            (Report, ItemsSettled),
            outcomes.record,
            health.pulse("outcomes"),
            most=settings.ledger_messages_at_once,
            linger_s=settings.ledger_linger_ms / 1000,
        )
        aside = BatchConsumer(
            consuming,
            publisher,
            topology.AGGREGATOR_ASIDE,
            (ItemsSettled,),
            outcomes.record,
            health.pulse("aside"),
            most=_ASIDE_AT_ONCE,
        )
        plane = Consumer(settings.amqp_url, publisher, NAME)
        plane.subscribe(
            topology.AGGREGATOR_CONTROL,
            (
                Route(BatchAccepted, control.accepted),
                Route(BatchSealed, control.sealed),
                Route(BatchWithdrawn, control.withdrawn),
                Route(BatchControlled, control.controlled),
                Route(BatchStopped, control.stopped),
                Route(SummaryMade, summarized.made),
            ),
            at_once=_CONTROLS_AT_ONCE,
        )
        plane.subscribe(
            topology.AGGREGATOR_QUERIES,
            (
                Route(BatchesQuery, questions.batches),
                Route(ResultsQuery, questions.results),
                Route(FailuresQuery, questions.failures),
                Route(SelectionQuery, questions.selection),
            ),
            at_once=_QUESTIONS_AT_ONCE,
        )
        health.ready_when("rabbitmq", consuming.connected.is_set)
        health.ready_when("outbox", lambda: outbox.working)

        parts: dict[str, _Part] = {
            "outbox": outbox,
            "progress": progress,
            "failures": news,
            "reconciler": reconciler,
            "summaries": summaries,
            "outcomes": stream,
            "aside": aside,
        }
        for name, part in parts.items():  # stopped in reverse order: what is recorded last still goes out
            task = runtime.spawn(part.run(), name)
            stack.push_async_callback(_stop, part, task)
        await plane.start()
        stack.push_async_callback(plane.stop)
        yield


class _Part(Protocol):
    async def run(self) -> None: ...
    def stop(self) -> None: ...


async def _stop(part: _Part, task: "asyncio.Task[None]") -> None:
    part.stop()
    await asyncio.wait([task])


def _now() -> datetime:
    return datetime.now(UTC)
