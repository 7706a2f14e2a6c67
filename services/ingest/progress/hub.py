"""Who watches which batch, and the snapshots for those who come later.

Each watcher has room for one frame, the newest: a slow one misses steps, never the end, and holds nobody up.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import orjson

from services.ingest.domain.progress_snapshot import Frame
from shared.redis.client import RedisClient

SNAPSHOT_TTL_S = 24 * 3600


class Watcher:
    """A place for the newest frame of one batch."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._rank = (0, 0, -1)
        self._fresh = asyncio.Event()

    def offer(self, frame: Frame) -> None:
        """Put a frame in place of an older one that was not taken yet; one that is behind is dropped."""
        if frame.rank >= self._rank:
            self._frame, self._rank = frame, frame.rank
            self._fresh.set()

    async def next(self) -> Frame:
        """Wait for a frame and take it."""
        while self._frame is None:
            self._fresh.clear()
            await self._fresh.wait()
        frame, self._frame = self._frame, None
        return frame


class Watchers:
    """Who watches which batch in this process, and the snapshots for those who come later."""

    def __init__(self, memory: RedisClient) -> None:
        self._memory = memory
        self._watchers: dict[UUID, set[Watcher]] = defaultdict(set)
        self._owners: dict[UUID, str] = {}
        self._unsaved: dict[UUID, Frame] = {}
        self.count = 0

    @asynccontextmanager
    async def watch(self, owner: str, batch_id: UUID) -> AsyncIterator[Watcher]:
        """Watch one batch, which is the owner's."""
        watcher = Watcher()
        self._watchers[batch_id].add(watcher)
        self._owners[batch_id] = owner
        self.count += 1
        try:
            yield watcher
        finally:
            self.count -= 1
            self._watchers[batch_id].discard(watcher)
            if not self._watchers[batch_id]:
                del self._watchers[batch_id], self._owners[batch_id]

    def watched(self) -> dict[str, list[UUID]]:
        """The batches that somebody watches, by owner."""
        found: dict[str, list[UUID]] = defaultdict(list)
        for batch_id, owner in self._owners.items():
            found[owner].append(batch_id)
        return found

    def show(self, batch_id: UUID, frame: Frame) -> None:
        """Give a frame to all who watch the batch, and keep it to be saved."""
        for watcher in self._watchers.get(batch_id, ()):
            watcher.offer(frame)
        before = self._unsaved.get(batch_id)
        if before is None or frame.rank >= before.rank:
            self._unsaved[batch_id] = frame

    async def save(self) -> None:
        """Write the newest frames to Redis."""
        frames, self._unsaved = self._unsaved, {}
        if frames:
            pipeline = self._memory.client.pipeline(transaction=False)
            for batch_id, frame in frames.items():
                pipeline.set(_key(batch_id), frame.body, ex=SNAPSHOT_TTL_S)
            await self._memory.attempt(pipeline.execute(), None)

    async def snapshot(self, batch_id: UUID) -> Frame | None:
        """The last frame that was saved, if Redis has it."""
        body = await self._memory.attempt(self._memory.client.get(_key(batch_id)), None)
        return Frame.of_value(orjson.loads(body)) if isinstance(body, bytes) else None


def _key(batch_id: UUID) -> str:
    return f"ingest:progress:{batch_id}"
