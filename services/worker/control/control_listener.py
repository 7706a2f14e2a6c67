"""Applies commands on batches to the chunks that this worker holds: cancel, pause, resume, retry."""

import uuid
from collections.abc import Sequence

import structlog
from aio_pika.abc import AbstractIncomingMessage, AbstractRobustConnection
from pydantic import ValidationError

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import BatchControlled, BatchStopped
from services.worker.consuming.chunk_consumer import ChunkConsumer
from services.worker.quarantine.consumer import QuarantineConsumer
from shared.messaging.connection import open_channel
from shared.runtime.transient import retry_transient

log = structlog.get_logger()
_INTERRUPTING = {"deadline", "failure_threshold", "internal_error"}
"""Stop reasons that interrupt running items. Chunks of a batch that was never sealed run to their end."""
_IS_PAUSED_AFTER = {"pause": True, "resume": False, "cancel": False, "retry": False}
"""Commands that pause a batch, or end its pause."""


class ControlListener:
    """Listens for commands on batches, on a queue that lives as long as this worker."""

    def __init__(
        self, consumers: Sequence[ChunkConsumer], quarantine_consumers: Sequence[QuarantineConsumer] = ()
    ) -> None:
        self._consumers = consumers
        self._holders: Sequence[ChunkConsumer | QuarantineConsumer] = [*consumers, *quarantine_consumers]

    async def start(self, connection: AbstractRobustConnection) -> None:
        """Declare the queue and consume from it."""
        await retry_transient(lambda: self._consume(connection), "commands on batches")
        connection.reconnect_callbacks.add(self.on_reconnected)

    async def _consume(self, connection: AbstractRobustConnection) -> None:
        channel = await open_channel(connection)
        try:
            queue = await channel.declare_queue(f"worker.control.{uuid.uuid4().hex}", exclusive=True, auto_delete=True)
            for kind in (BatchControlled, BatchStopped):
                await queue.bind(topology.FLOW, kind.type)
            await queue.consume(self.on_message, no_ack=True)
        except BaseException:
            await channel.close()
            raise

    async def on_message(self, message: AbstractIncomingMessage) -> None:
        """Cancel the items of a stopped batch until it is retried, and return waiting chunks of a paused one."""
        kind = BatchStopped if message.routing_key == BatchStopped.type else BatchControlled
        try:
            command = kind.decode(message.body)
        except ValidationError as error:
            log.warning("unreadable control message", error=str(error))
            return
        for holder in self._holders:
            if isinstance(command, BatchStopped):
                if command.reason in _INTERRUPTING:
                    holder.cancel(command.batch_id, command.round)
            elif command.action == "cancel":
                holder.cancel(command.batch_id, command.round)
            elif command.action == "retry":
                holder.clear_cancellation(command.batch_id)
        if isinstance(command, BatchControlled) and command.action in _IS_PAUSED_AFTER:
            for consumer in self._consumers:
                is_paused = _IS_PAUSED_AFTER[command.action]
                consumer.set_paused(command.batch_id, command.at, paused=is_paused, round_=command.round)

    def on_reconnected(self, *_: object) -> None:
        """Forget all cancellations: a retry may have been missed, and its items must not be cancelled."""
        for holder in self._holders:
            holder.clear_cancellation()
