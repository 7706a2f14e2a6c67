"""Subscriptions of one stream: each holds the newest data of its topic until it is due to be sent."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from services.ingest.domain.progress_snapshot import ProgressSnapshot

MAX_SUBSCRIPTIONS = 100
"""Largest number of subscriptions of one stream."""
MAX_CHANGED = 1000
"""Batches whose changes wait to be sent; with more of them, the client is told to read the list again."""
Frame = dict[str, Any]


@dataclass(slots=True, eq=False)
class Subscription:
    """One topic of a stream; `id` is the client's name for it."""

    id: str
    every_s: float
    """Shortest time between two frames."""
    wake: Callable[[], None] = lambda: None
    """Callback that runs when data has arrived."""
    due_at: float = 0.0
    seq: int = 0
    _frames: dict[str, Any] = field(default_factory=dict)
    _snapshots: dict[UUID, ProgressSnapshot] = field(default_factory=dict)
    _is_behind: bool = False
    _taken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def has_data(self) -> bool:
        """True if something is to be sent."""
        return bool(self._frames or self._snapshots or self._is_behind)

    def put(self, kind: str, data: Any) -> None:
        """Replace what was not sent yet by newer data of the topic."""
        self._frames.pop(kind, None)
        self._frames[kind] = data  # behind the others, which are older
        self.wake()

    async def put_in_turn(self, kind: str, data: Any) -> None:
        """Put data, and wait until it is taken to be sent: nothing of it is replaced, and a slow client slows its
        source."""
        self._taken.clear()
        self.put(kind, data)
        await self._taken.wait()

    def offer(self, batch_id: UUID, snapshot: ProgressSnapshot) -> None:
        """Take the progress of a batch in place of an older one that was not sent yet."""
        earlier = self._snapshots.get(batch_id)
        if earlier is None and len(self._snapshots) >= MAX_CHANGED:
            self.fall_behind()
        elif earlier is None or snapshot.rank >= earlier.rank:
            self._snapshots[batch_id] = snapshot
            self.wake()

    def fall_behind(self) -> None:
        """Record that changes were missed."""
        self._snapshots.clear()
        self._is_behind = True
        self.wake()

    def take(self, now: float) -> list[Frame]:
        """Return the frames to send at a time of the loop's clock, and forget them."""
        frames = [self._frame(kind, data) for kind, data in self._frames.items()]
        if self._is_behind:
            frames.append(self._frame("behind", None))
        if self._snapshots:
            bodies = [orjson.Fragment(snapshot.body) for snapshot in self._snapshots.values()]
            frames.append(self._frame("change", bodies))
        self._frames, self._snapshots, self._is_behind = {}, {}, False
        self.due_at = now + self.every_s
        self._taken.set()
        return frames

    def _frame(self, kind: str, data: Any) -> Frame:
        self.seq += 1
        return {"id": self.id, "seq": self.seq, "kind": kind} | ({} if data is None else {"data": data})


class Subscriptions:
    """The subscriptions of one stream, and the frames that are due."""

    def __init__(self) -> None:
        self._by_id: dict[str, Subscription] = {}
        self._changed = asyncio.Event()

    def __contains__(self, id_: str) -> bool:
        return id_ in self._by_id

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, subscription: Subscription) -> None:
        """Add a subscription."""
        subscription.wake = self._changed.set
        self._by_id[subscription.id] = subscription

    def remove(self, id_: str) -> None:
        """Forget a subscription, with what was not sent."""
        self._by_id.pop(id_, None)

    async def next_frames(self) -> list[Frame]:
        """Wait until frames are due, and take them: those of all subscriptions together."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            waiting = [one for one in self._by_id.values() if one.has_data]
            frames = [frame for one in waiting if one.due_at <= now for frame in one.take(now)]
            if frames:
                return frames
            self._changed.clear()
            pause_s = min((one.due_at for one in waiting), default=None)
            try:
                async with asyncio.timeout(None if pause_s is None else max(0.0, pause_s - now)):
                    await self._changed.wait()
            except TimeoutError:
                continue


def error_data(code: str, detail: str) -> Mapping[str, str]:
    """Return the data of a frame on a subscription that is not possible."""
    return {"code": code, "detail": detail}
