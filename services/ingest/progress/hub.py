"""Distributes progress snapshots to the watchers of a batch, and saves them for clients that connect later.

Each watcher holds only the latest snapshot: a slow client misses steps, never the end, and does not delay others.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol
from uuid import UUID

import orjson

from batchyard_contracts.v1.events import BatchForecast
from services.ingest.domain.progress_snapshot import ProgressSnapshot
from services.ingest.progress.forecasts import Forecasts
from shared.redis.client import RedisClient
from shared.redis.keys import PROGRESS

SNAPSHOT_TTL_S = 24 * 3600


class Watcher:
    """Mailbox of one client with the latest snapshot of one batch."""

    def __init__(self) -> None:
        self._snapshot: ProgressSnapshot | None = None
        self._rank = (0, 0, -1)
        self._offered = asyncio.Event()

    def offer(self, snapshot: ProgressSnapshot) -> None:
        """Replace a snapshot that was not taken yet. One with a lower rank is dropped."""
        if snapshot.rank >= self._rank:
            self._snapshot, self._rank = snapshot, snapshot.rank
            self._offered.set()

    async def next(self) -> ProgressSnapshot:
        """Wait for a snapshot, and take it."""
        while self._snapshot is None:
            self._offered.clear()
            await self._offered.wait()
        snapshot, self._snapshot = self._snapshot, None
        return snapshot


class OwnerWatcher(Protocol):
    """A client that watches all batches of an owner."""

    def offer(self, batch_id: UUID, snapshot: ProgressSnapshot) -> None:
        """Take the progress of a batch."""

    def fall_behind(self) -> None:
        """Record that changes were missed."""


class ProgressHub:
    """Watchers of this process by batch, and snapshots that are to be saved."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis
        self._watchers: dict[UUID, set[Watcher]] = defaultdict(set)
        self._owners: dict[UUID, str] = {}
        self._owner_watchers: dict[str, set[OwnerWatcher]] = defaultdict(set)
        self._unsaved: dict[UUID, ProgressSnapshot] = {}
        self._latest: dict[UUID, ProgressSnapshot] = {}
        """Latest snapshots of watched batches."""
        self.forecasts = Forecasts()
        self.watcher_count = 0

    @asynccontextmanager
    async def watch(self, owner: str, batch_id: UUID, *, is_counted: bool = True) -> AsyncIterator[Watcher]:
        """Watch an owner's batch; `is_counted`: False for one of several topics of a client that is counted itself."""
        watcher = Watcher()
        self._watchers[batch_id].add(watcher)
        self._owners[batch_id] = owner
        self.watcher_count += is_counted
        try:
            yield watcher
        finally:
            self.watcher_count -= is_counted
            self._watchers[batch_id].discard(watcher)
            if not self._watchers[batch_id]:
                del self._watchers[batch_id], self._owners[batch_id]
                self._latest.pop(batch_id, None)

    @contextmanager
    def watch_owner(self, owner: str, watcher: OwnerWatcher) -> Iterator[None]:
        """Watch all batches of an owner."""
        self._owner_watchers[owner].add(watcher)
        try:
            yield
        finally:
            self._owner_watchers[owner].discard(watcher)
            if not self._owner_watchers[owner]:
                del self._owner_watchers[owner]

    @contextmanager
    def count_watcher(self) -> Iterator[None]:
        """Count a client that watches several topics."""
        self.watcher_count += 1
        try:
            yield
        finally:
            self.watcher_count -= 1

    def mark_missed(self) -> None:
        """Tell the watchers of owners that they may have missed changes."""
        for watchers in self._owner_watchers.values():
            for watcher in watchers:
                watcher.fall_behind()

    def watched_batches(self) -> dict[str, list[UUID]]:
        """Return the ids of watched batches, by owner."""
        found: dict[str, list[UUID]] = defaultdict(list)
        for batch_id, owner in self._owners.items():
            found[owner].append(batch_id)
        return found

    def publish(self, batch_id: UUID, snapshot: ProgressSnapshot) -> None:
        """Give a snapshot of a batch to all who watch the batch or its owner, with the forecast of its end, and keep
        that snapshot until `save_snapshots` writes it to Redis."""
        if snapshot.final:
            self.forecasts.drop(batch_id)
        snapshot = self.with_forecast(batch_id, snapshot)
        if batch_id in self._watchers:
            self._latest[batch_id] = snapshot
        for watcher in self._watchers.get(batch_id, ()):
            watcher.offer(snapshot)
        for owner_watcher in self._owner_watchers.get(snapshot.owner, ()):
            owner_watcher.offer(batch_id, snapshot)
        earlier = self._unsaved.get(batch_id)
        if earlier is None or snapshot.rank >= earlier.rank:
            self._unsaved[batch_id] = snapshot

    def publish_forecast(self, event: BatchForecast) -> None:
        """Keep a forecast, and offer it to all watchers of its batch with the latest snapshot."""
        latest = self._latest.get(event.batch_id)
        if self.forecasts.put(event) and latest is not None and latest.is_running:
            self.publish(event.batch_id, latest)

    def with_forecast(self, batch_id: UUID, snapshot: ProgressSnapshot) -> ProgressSnapshot:
        """Return a snapshot with the forecast of the end, if its batch runs and there is one."""
        forecast = self.forecasts.of(batch_id, snapshot.rank[0]) if snapshot.is_running else None
        return snapshot if forecast is None else snapshot.with_forecast(forecast)

    async def save_snapshots(self) -> None:
        """Write the latest snapshots to Redis."""
        snapshots, self._unsaved = self._unsaved, {}
        if snapshots:
            pipeline = self._redis.client.pipeline(transaction=False)
            for batch_id, snapshot in snapshots.items():
                pipeline.set(_key(batch_id), snapshot.body, ex=SNAPSHOT_TTL_S)
            await self._redis.attempt(pipeline.execute(), None)

    async def forget(self, batch_id: UUID) -> None:
        """Delete the snapshot of a batch."""
        self._unsaved.pop(batch_id, None)
        await self._redis.attempt(self._redis.client.unlink(_key(batch_id)), None)

    async def saved_snapshot(self, batch_id: UUID) -> ProgressSnapshot | None:
        """Return the latest snapshot that was saved; None when Redis does not have it."""
        body = await self._redis.attempt(self._redis.client.get(_key(batch_id)), None)
        return ProgressSnapshot.from_fields(orjson.loads(body)) if isinstance(body, bytes) else None


def _key(batch_id: UUID) -> str:
    return f"{PROGRESS}{batch_id}"
