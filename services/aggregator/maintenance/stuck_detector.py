"""Finds batches that cannot end: items without an outcome that no service has to run.

The dispatcher is asked about every batch that has been idle for some seconds; no item is looked at. A batch that it
does not hold in two sweeps is mended where that is possible: ingest sends its header again, and the items of a retry
that the dispatcher did not receive are sent again. If that does not help, the batch is reported as stuck. Once it is
cancelled or stopped, its missing items end here.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import structlog

from batchyard_contracts import topology
from batchyard_contracts.v1.flow import BatchResend
from batchyard_contracts.v1.queries import HeldQuery, HeldReply
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.events import stuck_event
from services.aggregator.domain.stuck import StuckWatch, Unheld
from services.aggregator.persistence.store import LedgerStore
from services.aggregator.publishing.missing_items import MissingItems
from services.aggregator.publishing.outbox_messages import reopened_keys, stuck_message
from shared.messaging.publisher import Publisher, outgoing
from shared.messaging.rpc_client import RpcClient
from shared.observability import metrics
from shared.postgres.outbox import Outbox
from shared.runtime.errors import PublishFailed, QueryRefused, QueryTimeout

log = structlog.get_logger()
_stuck = metrics.counter("batchyard.batches.stuck", "Batches that were reported as stuck, by workload.")
_BATCHES_PER_QUERY = 1000
_MAX_BACKLOG = 1000
"""Messages in a queue above which batches that are not held may only have to wait for theirs."""
_BACKLOG_QUEUES = (
    topology.DISPATCHER_PAGES,
    topology.DISPATCHER_BATCHES,
    topology.DISPATCHER_CONTROL,
    topology.DISPATCHER_OUTCOMES,
    topology.AGGREGATOR_OUTCOMES,
    topology.AGGREGATOR_ASIDE,
    topology.AGGREGATOR_BATCHES,
    topology.AGGREGATOR_CONTROL,
    topology.INGEST_SOURCES,
)


class StuckDetector:
    """Sweeps through the idle batches. Every step may be repeated, by this or by another process."""

    def __init__(
        self,
        store: LedgerStore,
        outbox: Outbox,
        publisher: Publisher,
        rpc_client: RpcClient,
        queue_depth: Callable[[str], Awaitable[int]],
        clock: Callable[[], datetime],
        *,
        idle_s: float,
    ) -> None:
        self._store, self._outbox, self._publisher, self._rpc_client = store, outbox, publisher, rpc_client
        self._queue_depth, self._clock, self._idle_s = queue_depth, clock, idle_s
        self._missing_items = MissingItems(store, publisher)
        self._watch = StuckWatch()
        self._after = 0
        """Key of the last batch that was looked at."""

    async def sweep(self) -> float | None:
        """Look at some idle batches; return 0 if there are more, and None if all were looked at.

        Raises the errors of the batches about which nothing could be done; no other batch waits for them.
        """
        idle = await self._store.idle_batches(self._idle_s, self._after, _BATCHES_PER_QUERY)
        try:
            found = await self._find_unheld(idle) if idle else []
        except (QueryTimeout, QueryRefused, PublishFailed) as error:
            log.info("batches not checked", error=str(error))
            return None
        errors: list[Exception] = []
        for unheld in found:
            try:
                await self._act(unheld)
            except Exception as error:  # noqa: BLE001  whatever fails for one batch, the others go on
                errors.append(error)
        has_more = len(idle) == _BATCHES_PER_QUERY
        self._after = idle[-1].key if has_more else 0
        if not has_more:
            self._watch.end_rotation()
        if errors:
            raise ExceptionGroup("nothing was done about batches that are not held", errors)
        return 0.0 if has_more else None

    async def _find_unheld(self, idle: Sequence[Batch]) -> list[Unheld]:
        reply = await self._rpc_client.query(HeldQuery(batch_ids=[batch.batch_id for batch in idle]), HeldReply)
        if not reply.unheld:
            return []
        has_backlog = any([await self._queue_depth(queue.name) > _MAX_BACKLOG for queue in _BACKLOG_QUEUES])
        return self._watch.observe(idle, {one.batch_id: one.round for one in reply.unheld}, count=not has_backlog)

    async def _act(self, unheld: Unheld) -> None:
        batch = unheld.batch
        if unheld.step == "resend":
            log.warning("batch is not held", batch_id=str(batch.batch_id), round=batch.round, remaining=batch.remaining)
            await self._publisher.publish([outgoing(topology.FLOW, BatchResend(batch_id=batch.batch_id))])
            if unheld.dispatcher_round is not None and unheld.dispatcher_round < batch.round:
                await self._store.send_again(reopened_keys(batch.batch_id, batch.round))
        elif unheld.step == "report":
            await self._report(batch)
        elif unheld.step == "settle":
            await self._missing_items.end_some(batch)

    async def _report(self, batch: Batch) -> None:
        async with self._store.lock([batch.batch_id]) as transaction:
            current = transaction.batches[batch.batch_id]
            if current.version != batch.version or current.header is None or current.is_stuck:
                return
            await transaction.mark_stuck(current)
            event = stuck_event(current, current.header, self._clock())
            messages = await transaction.add_to_outbox([stuck_message(event, current.header.traceparent)])
        _stuck.add(1, {"workload": event.workload})
        log.error("batch is stuck", batch_id=str(batch.batch_id), round=batch.round, remaining=batch.remaining)
        self._outbox.enqueue(messages)
