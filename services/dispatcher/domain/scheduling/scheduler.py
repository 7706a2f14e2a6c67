"""Chooses which items of one workload are dispatched next.

The priority decides first (with a small share reserved for `low`), then the owners' weights, then the weights of the
owner's batches; the partitions of a batch take turns. So the hosts of a batch interleave, a large batch does not block
a small one, and an owner with many batches gets no more than one with few. Shares are counted in items, since chunks
differ in size.

A batch for which a computation fails is set aside, so that it holds up no other; the caller stops it.
"""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from batchyard_contracts.v1.values import PRIORITIES, Priority
from services.dispatcher.domain.scheduling.batch_queue import BatchQueue, DispatchBudget, Pick
from services.dispatcher.domain.scheduling.fair_queue import FairQueue
from services.dispatcher.domain.scheduling.owner_weights import OwnerWeights

LOW_SHARE = 20
"""One item in this many is a `low` one, if any waits."""
OwnerQueue = FairQueue[UUID, BatchQueue]


class Standing(NamedTuple):
    """Place of a batch in line, counted from 0 among the batches of its owner; None: it is not in line."""

    place: int | None
    batches: int
    share: float
    """Part of what the owner gets."""
    owner_share: float
    """Part of what all owners get."""
    preceded_by: tuple[Priority, ...]
    """Higher priorities of which items are in line."""


class Scheduler:
    """The waiting batches of one workload. Only batches with items to pick are in the fair queues."""

    def __init__(self, owner_weights: OwnerWeights | None = None) -> None:
        self._owner_weights = owner_weights or OwnerWeights()
        self._batches: dict[UUID, BatchQueue] = {}
        self._owners: dict[Priority, FairQueue[str, OwnerQueue]] = {p: FairQueue() for p in PRIORITIES}
        self._low_credit = 0.0
        """Items of other priorities dispatched since `low` had its share, capped at the number that gives `low` the
        next turn."""
        self._low_was_first = False
        self._set_aside: list[tuple[UUID, Exception]] = []
        self._parked: dict[str, dict[UUID, BatchQueue]] = {}
        """Batches in which a partition is parked; some may have dropped it since."""
        self._with_backlog: dict[UUID, BatchQueue] = {}

    def __len__(self) -> int:
        return len(self._batches)

    def batch_queue(self, batch_id: UUID) -> BatchQueue | None:
        """Return the queue of a batch; None if the batch was not added."""
        return self._batches.get(batch_id)

    def add_batch(self, queue: BatchQueue) -> None:
        """Add a batch. Its items may follow later."""
        self._batches[queue.batch_id] = queue
        queue.wake, queue.park = self._enqueue, self._park
        self._enqueue(queue)

    def remove_batch(self, batch_id: UUID) -> BatchQueue | None:
        """Remove a batch with all its waiting items; returns its queue."""
        queue = self._batches.pop(batch_id, None)
        if queue is not None:
            queue.wake, queue.park = (lambda _: None), (lambda *_: None)
            self._with_backlog.pop(batch_id, None)
            self._dequeue(queue)
        return queue

    def reprioritize(self, batch_id: UUID, priority: Priority) -> None:
        """Move a batch to another priority."""
        if queue := self.remove_batch(batch_id):
            queue.priority = priority
            self.add_batch(queue)

    def set_weight(self, batch_id: UUID, weight: int) -> None:
        """Change the weight of a batch among the batches of its owner."""
        if queue := self._batches.get(batch_id):
            queue.weight = weight
            if batches := self._owners[queue.priority].get(queue.owner):
                batches.set_weight(batch_id, weight)

    def standing(self, queue: BatchQueue) -> Standing:
        """Return the place of a batch in line, which changes nothing."""
        owners = self._owners[queue.priority]
        higher = PRIORITIES[: PRIORITIES.index(queue.priority)]
        preceded_by = tuple(priority for priority in higher if len(self._owners[priority]))
        batches = owners.get(queue.owner)
        if batches is None:
            return Standing(None, 0, 0.0, 0.0, preceded_by)
        place = batches.place(queue.batch_id) if queue.is_ready else None
        share = batches.share(queue.batch_id)
        return Standing(place, len(batches), share, owners.share(queue.owner), preceded_by)

    def apply_owner_weight(self, owner: str) -> None:
        """Apply the changed weight of an owner from now on."""
        for owners in self._owners.values():
            owners.set_weight(owner, self._owner_weights.weight(owner))

    def pick(self, budget: DispatchBudget) -> Pick | None:
        """Take the next chunk; None if the budget allows none now."""
        low_first = self._low_credit >= LOW_SHARE - 1
        for priority in ("low", *PRIORITIES) if low_first else PRIORITIES:
            if not budget.is_full(priority) and (pick := self._pick_class(priority, budget)):
                self._low_was_first = low_first and priority == "low"
                self._charge(pick, pick.source.count)
                return pick
        return None

    def undo(self, pick: Pick, error: Exception) -> None:
        """Put a picked chunk back and set its batch aside, since counting the chunk has failed."""
        queue = self._batches[pick.batch_id]
        queue.partition_queue(pick.partition).put_back(pick.source)
        self._set_batch_aside(queue, error)

    def unpark(self, partitions: Iterable[str]) -> None:
        """Let partitions take turns again."""
        for partition in partitions:
            for queue in self._parked.pop(partition, {}).values():
                queue.unpark(partition)

    def unpark_all(self) -> None:
        """Let all partitions take turns again."""
        self.unpark(list(self._parked))

    def with_backlog(self) -> list[BatchQueue]:
        """Return the batches that have more in the table."""
        if self._with_backlog:
            self._with_backlog = {x: queue for x, queue in self._with_backlog.items() if queue.backlog.has_more}
        return list(self._with_backlog.values())

    def find_wanting(self, budget: DispatchBudget, now: float, *, is_exhausted: bool) -> list[tuple[BatchQueue, bool]]:
        """Return the batches that need more from the table; True: none of the batch's items in memory may be dispatched
        although workers are free. `is_exhausted`: the last pick has found nothing."""
        wanting: list[tuple[BatchQueue, bool]] = []
        for queue in self.with_backlog():
            try:
                is_starved = (
                    is_exhausted and not budget.is_full(queue.priority) and budget.batch_limit(queue.batch_id) > 0
                )
            except Exception as error:  # noqa: BLE001  whatever fails for one batch, the others go on
                self._set_batch_aside(queue, error)
                continue
            if queue.wants_read(now, is_starved=is_starved):
                wanting.append((queue, is_starved))
        return wanting

    def take_set_aside(self) -> list[tuple[UUID, Exception]]:
        """Return the batches that were set aside since the last call, each with its error."""
        taken, self._set_aside = self._set_aside, []
        return taken

    def _set_batch_aside(self, queue: BatchQueue, error: Exception) -> None:
        queue.pause()
        self._set_aside.append((queue.batch_id, error))

    def _charge(self, pick: Pick, count: int) -> None:
        if self._low_was_first:
            self._low_credit -= count * (LOW_SHARE - 1)
        elif pick.priority != "low":
            self._low_credit = min(self._low_credit + count, LOW_SHARE - 1) if self._owners["low"] else 0.0
        owner = self._batches[pick.batch_id].owner
        owners = self._owners[pick.priority]
        if batches := owners.get(owner):
            owners.charge(owner, count)
            batches.charge(pick.batch_id, count)

    def _pick_class(self, priority: Priority, budget: DispatchBudget) -> Pick | None:
        idle: list[BatchQueue] = []
        try:
            for _, batches in self._owners[priority]:
                for _, queue in batches:
                    if not queue.is_ready:
                        idle.append(queue)
                        continue
                    try:
                        pick = queue.pick(budget)
                    except Exception as error:  # noqa: BLE001  whatever fails for one batch, the others go on
                        self._set_batch_aside(queue, error)
                        idle.append(queue)
                        continue
                    if pick:
                        return pick
            return None
        finally:
            for queue in idle:
                self._dequeue(queue)

    def _park(self, partition: str, queue: BatchQueue) -> None:
        self._parked.setdefault(partition, {})[queue.batch_id] = queue

    def _enqueue(self, queue: BatchQueue) -> None:
        if queue.backlog.has_more:
            self._with_backlog[queue.batch_id] = queue
        if queue.is_ready:
            owners = self._owners[queue.priority]
            weight = self._owner_weights.weight(queue.owner)
            owners.add(queue.owner, owners.get(queue.owner) or FairQueue(), weight).add(
                queue.batch_id, queue, queue.weight
            )

    def _dequeue(self, queue: BatchQueue) -> None:
        owners = self._owners[queue.priority]
        if batches := owners.get(queue.owner):
            batches.remove(queue.batch_id)
            if not len(batches):
                owners.remove(queue.owner)
