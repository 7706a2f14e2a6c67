"""Follows a batch to its end: over the WebSocket, and by polling while that is unavailable."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Counts, StopReason
from services.cli.client.http_client import HttpClient
from services.cli.errors import NotReachable

POLL_S = 1.0
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
    stopped: StopReason | None = None
    share: float | None = None
    """Completed share of the work, from 0 to 1; None unless running items report their progress."""
    summary: Any = None
    summary_error: str | None = None


async def follow(client: HttpClient, batch_id: str, *, poll_s: float = POLL_S) -> AsyncIterator[Snapshot]:
    """Yield snapshots until one with a result. Raises NotReachable when Batchyard is unavailable for too long."""
    unavailable_since: float | None = None
    clock = asyncio.get_running_loop().time
    while True:
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
        await asyncio.sleep(poll_s)


async def _frames(client: HttpClient, batch_id: str) -> AsyncIterator[Snapshot]:
    """Yield the snapshots from the WebSocket; ends when it closes or cannot be opened."""
    try:
        async with client.websocket(f"/batches/{batch_id}/progress") as socket:
            async for frame in socket:
                if frame.type is aiohttp.WSMsgType.TEXT:
                    yield _of_frame(orjson.loads(frame.data))
    except (aiohttp.ClientError, OSError, TimeoutError):
        return


def _of_frame(document: dict[str, Any]) -> Snapshot:
    if document.get("type") == BatchFinished.type:
        end = BatchFinished.model_validate(document)
        told = (end.stop_reason, None, end.summary, end.summary_error)
        return Snapshot("finished", end.counts, end.result, None, None, document, *told)
    now = BatchProgressed.model_validate(document)
    return Snapshot(now.status, now.counts, None, now.items_per_s, now.eta_s, document, share=now.progress)


def _of_state(body: bytes) -> Snapshot:
    state = BatchState.model_validate_json(body)
    told = (state.stop_reason, None, state.summary, state.summary_error)
    return Snapshot(state.status, state.counts, state.result, state.items_per_s, state.eta_s, orjson.loads(body), *told)
