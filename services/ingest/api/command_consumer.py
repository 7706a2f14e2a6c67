"""Wires the consumer of commands, which all owners share."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from batchyard_contracts import topology
from batchyard_contracts.v1.commands import (
    BatchAppend,
    BatchControl,
    BatchSeal,
    BatchSubmit,
    CacheInvalidate,
    ResultsAccept,
)
from batchyard_contracts.v1.schedules import ScheduleControl, ScheduleSave
from batchyard_contracts.v1.templates import TemplateControl, TemplateSave, TemplateSubmit
from services.ingest.api.amqp import CommandHandlers
from services.ingest.api.invalid_command import refusal_of
from services.ingest.settings import IngestSettings
from shared.messaging.connection import connect
from shared.messaging.fair_consumer import FairConsumer
from shared.messaging.message_router import MessageRouter, Route
from shared.messaging.publisher import Publisher
from shared.runtime.owner_turns import OwnerTurns


@asynccontextmanager
async def command_consumer(
    settings: IngestSettings,
    publisher: Publisher,
    handlers: CommandHandlers,
    turns: OwnerTurns,
    clock: Callable[[], datetime],
) -> AsyncIterator[FairConsumer]:
    """Yield the consumer, which has to be started; stop it at the end."""
    router = MessageRouter(
        publisher,
        topology.INGEST_COMMANDS,
        [
            Route(BatchSubmit, handlers.on_batch_submit),
            Route(BatchAppend, handlers.on_batch_append),
            Route(BatchSeal, handlers.on_batch_seal),
            Route(BatchControl, handlers.on_batch_control),
            Route(ResultsAccept, handlers.on_results_accept),
            Route(CacheInvalidate, handlers.on_cache_invalidate),
            Route(TemplateSave, handlers.on_template_save),
            Route(TemplateSubmit, handlers.on_template_submit),
            Route(TemplateControl, handlers.on_template_control),
            Route(ScheduleSave, handlers.on_schedule_save),
            Route(ScheduleControl, handlers.on_schedule_control),
        ],
        anonymous_owner=settings.anonymous_owner,
        on_invalid=lambda delivery, error: refusal_of(delivery, error, clock()),
        throttles=True,
    )
    connection = await connect(settings.amqp_url, "ingest-commands", wait=False)
    consumer = FairConsumer(connection, publisher, topology.INGEST_COMMANDS, topology.INGEST_ASIDE, router, turns)
    try:
        yield consumer
    finally:
        await consumer.stop()
        await connection.close()
