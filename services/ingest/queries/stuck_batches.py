"""Finds the batches that make no progress, each with its reasons."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from batchyard_contracts.v1.queries import BatchesQuery, BatchState, HoldReason, ReasonsQuery
from services.ingest.domain.ingest_error import IngestError
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.queries.waiting_reasons import DISPATCHER_AWAY

MAX_STUCK = 100
"""Largest number of batches in one answer: the dispatcher is asked about each."""
_ASKED_AT_A_TIME = 10
_NOT_HELD = HoldReason(
    code="not_held",
    detail="The dispatcher has no item of the batch. Its messages are on their way, or were lost: `replay` sends them "
    "again.",
)
_QUEUED = HoldReason(
    code="not_dispatched", detail="Nothing holds it back: its items are about to run. Look again in a moment."
)


@dataclass(frozen=True, slots=True)
class StuckBatch:
    """An unfinished batch without progress, and the reasons for it, that which holds back most first."""

    state: BatchState
    since: datetime
    """Time of its newest change."""
    reasons: Sequence[HoldReason]


async def find_stuck(aggregator: AggregatorClient, caller: str, idle_s: float, limit: int) -> list[StuckBatch]:
    """Return batches of all owners without a change for `idle_s` seconds, the one that was accepted first first; raises
    `IngestError`."""
    states = await aggregator.batches(
        BatchesQuery(owner=caller, all_owners=True, idle_s=idle_s, oldest_first=True, limit=limit)
    )
    turns = asyncio.Semaphore(_ASKED_AT_A_TIME)

    async def explain(state: BatchState) -> StuckBatch:
        async with turns:
            reasons = await _reasons(aggregator, state)
        return StuckBatch(state, state.changed_at or state.accepted_at, reasons)

    return list(await asyncio.gather(*map(explain, states)))


async def _reasons(aggregator: AggregatorClient, state: BatchState) -> Sequence[HoldReason]:
    if state.waiting is not None:  # the aggregator has found it stuck
        return [HoldReason(**dict(state.waiting))]
    try:
        reply = await aggregator.reasons(ReasonsQuery(owner=state.owner, batch_id=state.batch_id))
    except IngestError:
        return [HoldReason(**dict(DISPATCHER_AWAY))]
    if not reply.found:
        return [_NOT_HELD]
    if reply.reasons:
        return reply.reasons
    if not reply.in_flight:
        return [_QUEUED]
    detail = (
        f"{reply.in_flight} items are at workers, which have reported no outcome since. If a worker hangs, "
        "`release` takes its items back."
    )
    return [HoldReason(code="in_flight", detail=detail, items=reply.in_flight)]
