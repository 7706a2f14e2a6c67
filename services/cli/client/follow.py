"""Follows a batch to its end: over the WebSocket, and by polling while that is unavailable."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from services.cli.client.documents import Batch, Counts, Forecast, ProgressFrame, WaitReason
from services.cli.client.http_client import HttpClient
from services.cli.errors import CliError, NotReachable

POLL_S = 1.0
QUIET_S = 3.0
"""Seconds without progress after which the reason for that is asked for."""
MAX_UNAVAILABLE_S = 30.0
"""Seconds for which Batchyard may be unavailable, such as during a restart, before following ends."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State of a batch at one moment; `result` is set once it has finished."""

    status: str
    counts: Counts
    result: str | None
    items_per_s: float | None
    eta_s: float | None
    document: dict[str, Any]
    """Document from the server, for `--json`."""
    stopped: str | None = None
    share: float | None = None
    """Completed share of the work, from 0 to 1; None unless running items report their progress."""
    summary: Any = None
    summary_error: str | None = None
    waiting: WaitReason | None = None
    """Reason for which no item runs at present."""
    forecast: Forecast | None = None


async def follow(client: HttpClient, batch_id: str, *, poll_s: float = POLL_S) -> AsyncIterator[Snapshot]:
    """Yield snapshots until one with a result. Raises NotReachable when Batchyard is unavailable for too long.

    Waits where it is told to ask later, as beyond the owner's limit of requests.
    """
    unavailable_since: float | None = None
    clock = asyncio.get_running_loop().time
    while True:
        pause = poll_s
        try:
            snapshot = _of_state(await client.get(f"/batches/{batch_id}"))
            unavailable_since = None
            yield snapshot
            if snapshot.result is not None:
                return
            async for snapshot in _frames(client, batch_id):
                yield snapshot
                if snapshot.result is not None:
                    return
        except NotReachable:
            unavailable_since = unavailable_since or clock()
            if clock() - unavailable_since > MAX_UNAVAILABLE_S:
                raise
        except CliError as error:
            if error.retry_after_s is None:
                raise
            pause = max(poll_s, error.retry_after_s)
        await asyncio.sleep(pause)


async def _frames(client: HttpClient, batch_id: str) -> AsyncIterator[Snapshot]:
    """Yield the snapshots from the WebSocket, and while nothing happens the state with the reason for that. Ends when
    the WebSocket closes or cannot be opened."""
    try:
        async with client.websocket(f"/batches/{batch_id}/progress") as socket:
            while True:
                try:
                    frame = await socket.receive(timeout=QUIET_S)
                except TimeoutError:
                    yield _of_state(await client.get(f"/batches/{batch_id}"))
                    continue
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    return
                yield _of_frame(frame.data)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return


def _of_frame(text: str) -> Snapshot:
    now = msgspec.json.decode(text, type=ProgressFrame)
    return Snapshot(
        now.status, now.counts, now.result, now.items_per_s, now.eta_s, msgspec.json.decode(text), now.stop_reason,
        now.progress, now.summary, now.summary_error, None, now.forecast,
    )  # fmt: skip


def _of_state(body: bytes) -> Snapshot:
    return snapshot_of(msgspec.json.decode(body, type=Batch), msgspec.json.decode(body))


def snapshot_of(batch: Batch, document: dict[str, Any]) -> Snapshot:
    """Return the state of a batch at the moment of its document."""
    return Snapshot(
        batch.status, batch.counts, batch.result, batch.items_per_s, batch.eta_s, document, batch.stop_reason,
        None, batch.summary, batch.summary_error, batch.waiting, batch.forecast,
    )  # fmt: skip
