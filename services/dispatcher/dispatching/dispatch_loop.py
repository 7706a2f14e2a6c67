"""Keeps the workers supplied: dispatches chunks while the in-flight windows have room, and sleeps until something
changes."""

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from services.dispatcher.dispatching.chunk_publisher import ChunkPublisher, ChunksRefused
from services.dispatcher.dispatching.page_loader import PageLoader
from services.dispatcher.dispatching.undeliverable import UndeliverableChunks
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.scheduling.admission import Admission
from services.dispatcher.domain.scheduling.batch_queue import BatchQueue, Pick
from services.dispatcher.domain.scheduling.in_flight_window import InFlightWindow
from services.dispatcher.domain.scheduling.partition_queue import RetryRange
from services.dispatcher.persistence.retry_store import DueRetry
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.settlement.batch_stopper import BatchStopper
from services.dispatcher.state.state import DispatcherState, WorkloadQueue
from shared.runtime.background import BackgroundTask
from shared.runtime.health import Pulse
from shared.runtime.transient import retry_transient

_MAX_CHUNKS = 64
"""Maximum number of chunks in one transaction."""
_IDLE_S = 5.0
_RELOAD_S = 0.1
_LOAD_LIMIT = 1000
_GROUP_BYTES = 256 * 1024
_MAX_LOADED = 10_000
"""Approximate number of retries that are held in memory."""
_MAX_LOADED_PER_PARTITION = 500
_MIN_LOADED_PER_PARTITION = 16
_RetryGroup = tuple[UUID, str, int, bool]
"""Batch, partition, attempt and quarantine of items that may travel in one chunk."""


class DispatchLoop(BackgroundTask):
    """The loop that loads due retries, picks chunks and has them published.

    An error ends the session: items that were picked are no longer waiting in memory, and the tables say whether they
    are in flight.
    """

    def __init__(
        self,
        state: DispatcherState,
        stores: Stores,
        publisher: ChunkPublisher,
        undeliverable: UndeliverableChunks,
        batch_stopper: BatchStopper,
        pulse: Pulse,
    ) -> None:
        super().__init__(pulse, self._dispatch_waiting, interval_s=_IDLE_S, wake=state.changed, ends_on_error=True)
        self._state, self._stores, self._publisher = state, stores, publisher
        self._undeliverable, self._batch_stopper = undeliverable, batch_stopper
        self._next_retry_at = 0.0
        """Time at which due retries are loaded again (monotonic seconds)."""
        self._next_batch_rate_at = math.inf
        """Earliest time at which the own rate of a held-back batch allows its next item (monotonic seconds)."""
        self._page_loader = PageLoader(state, stores)
        self._wanting: list[tuple[BatchQueue, bool]] = []
        """Batches that need more from the table; True: they have nothing else to dispatch."""
        self._turn = 0
        """Number of the pass, by which workloads take turns to be first."""
        self._unparked_at = 0.0
        """Time at which all parked partitions were asked for again (monotonic seconds)."""

    def retry_in(self, seconds: float) -> None:
        """Load due retries in `seconds` seconds at the latest, since an item is due then."""
        self._next_retry_at = min(self._next_retry_at, time.monotonic() + seconds)
        self._state.changed.set()

    async def _dispatch_waiting(self) -> float:
        """Dispatch some chunks; return the seconds until more may be dispatched, if nothing changes."""
        await self._undeliverable.retry_due(self._pulse.beat)
        if picks := self._choose():
            await self._dispatch(picks)
        if time.monotonic() >= self._next_retry_at:
            await retry_transient(self._load_retries, "PostgreSQL", on_wait=self._pulse.beat)
            return 0.0
        if wanting := self._wanting:
            failed = await self._page_loader.load(wanting, self._pulse.beat)
            for batch_id, error in failed.items():
                self._batch_stopper.stop_failed(batch_id, error)
            return 0.0
        return 0.0 if picks else self._idle_s()

    async def _dispatch(self, picks: Sequence[tuple[InFlightWindow, Pick]]) -> None:
        try:
            await self._publisher.dispatch(picks)
        except ChunksRefused as error:
            await self._undeliverable.record(error, self._pulse.beat)

    def _choose(self) -> list[tuple[InFlightWindow, Pick]]:
        picks: list[tuple[InFlightWindow, Pick]] = []
        self._next_batch_rate_at = math.inf
        self._wanting = []
        now = time.monotonic()
        if self._state.start_due(datetime.now(UTC)):
            self._next_retry_at = now
        unparks_all = now - self._unparked_at >= _IDLE_S  # in case that something else has changed
        if unparks_all:
            self._unparked_at = now
        for name, queue in self._in_turn():
            if self._undeliverable.is_waiting(name):
                continue
            queue.window.end_backoffs(now)
            queue.scheduler.unpark(queue.window.parked.take_unparked())
            if unparks_all:
                queue.scheduler.unpark_all()
            admission = Admission(queue.window, self._state.batch_limits, now)
            is_exhausted = _pick_chunks(queue, admission, picks)
            self._wanting += queue.scheduler.find_wanting(admission, now, is_exhausted=is_exhausted)
            for batch_id, cause in queue.scheduler.take_set_aside():
                self._batch_stopper.stop_failed(batch_id, cause)
            if admission.next_at is not None:
                self._next_batch_rate_at = min(self._next_batch_rate_at, admission.next_at)
        return picks

    def _in_turn(self) -> list[tuple[str, WorkloadQueue]]:
        """Return the queues of the workloads; another one is first in each pass, since the first may fill the pass."""
        queues = list(self._state.workload_queues.items())
        self._turn += 1
        first = self._turn % max(1, len(queues))
        return queues[first:] + queues[:first]

    def _idle_s(self) -> float:
        now = time.monotonic()
        times = [t for q in self._state.workload_queues.values() if (t := q.window.end_backoffs(now)) is not None]
        if any(queue.window.parked.has_unparked for queue in self._state.workload_queues.values()):
            return 0.0
        if (retry_at := self._undeliverable.next_retry_at()) is not None:
            times.append(retry_at)
        for workload_queue in self._state.workload_queues.values():
            times += [at for q in workload_queue.scheduler.with_backlog() if (at := q.backlog.next_read_at) > now]
        if (start_at := self._state.start_times.next()) is not None:
            times.append(now + (start_at - datetime.now(UTC)).total_seconds())
        return min([now + _IDLE_S, self._next_retry_at, self._next_batch_rate_at, *times]) - now

    async def _load_retries(self) -> None:
        """Add due retries to their partition queues.

        The number for each partition of a batch is bounded, so that no partition keeps others out. Batches that may not
        run now are left out.
        """
        state = self._state
        self._next_retry_at = time.monotonic() + _IDLE_S
        rounds = {b.batch_id: b.round for b in state.batches.values() if self._may_run(b)}
        if rounds:
            quota = min(
                _MAX_LOADED_PER_PARTITION,
                max(_MIN_LOADED_PER_PARTITION, _MAX_LOADED // (1 + len(state.loaded_by_partition))),
            )
            full = [key for key, count in state.loaded_by_partition.items() if count >= quota]
            limit = len(state.loaded_retries) - sum(state.loaded_by_partition[key] for key in full) + _LOAD_LIMIT
            due = await self._stores.retries.due_retries(rounds, full, limit)
            for (batch_id, partition, attempt, quarantined), ordinals in _group_retries(due):
                batch = state.running_round(batch_id, rounds[batch_id])
                queue = state.batch_queue(batch) if batch is not None and self._may_run(batch) else None
                room = quota - state.loaded_by_partition[batch_id, partition]
                fresh = [o for o in ordinals if (batch_id, o) not in state.loaded_retries][: max(0, room)]
                if queue is not None and (new := tuple(o for o in fresh if state.load_retry(batch_id, partition, o))):
                    queue.partition_queue(partition).retries.append(RetryRange(attempt, new, quarantined))
            if len(due) == limit:
                self._next_retry_at = time.monotonic() + _RELOAD_S
        if (seconds := await self._stores.retries.next_retry()) is not None:
            self._next_retry_at = min(self._next_retry_at, time.monotonic() + seconds)

    def _may_run(self, batch: Batch) -> bool:
        may_start = not batch.paused and not batch.stop_status and batch.batch_id not in self._state.start_times
        return may_start and self._state.workload_queue(batch.workload).window.workers > 0


def _pick_chunks(queue: WorkloadQueue, admission: Admission, picks: list[tuple[InFlightWindow, Pick]]) -> bool:
    """Add the next chunks of a workload to `picks`; returns True if there are no more for now."""
    while len(picks) < _MAX_CHUNKS:
        if (pick := queue.scheduler.pick(admission)) is None:
            return True
        try:
            admission.record_pick(pick)
        except Exception as error:  # noqa: BLE001  whatever fails for one batch, the others go on
            queue.scheduler.undo(pick, error)
        else:
            picks.append((queue.window, pick))
    return False


def _group_retries(due: Sequence[DueRetry]) -> Iterator[tuple[_RetryGroup, list[int]]]:
    """Yield items that may travel in one chunk: of one batch, partition and attempt, all or none in quarantine, with a
    bounded total size."""
    groups: dict[_RetryGroup, list[int]] = {}
    sizes: Counter[_RetryGroup] = Counter()
    for batch_id, ordinal, partition, attempt, quarantined, size in due:
        key = (batch_id, partition, attempt, quarantined)
        if key in groups and sizes[key] + size > _GROUP_BYTES:
            yield key, groups.pop(key)
            sizes[key] = 0
        groups.setdefault(key, []).append(ordinal)
        sizes[key] += size
    yield from groups.items()
