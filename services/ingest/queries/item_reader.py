"""Joins what the dispatcher has of items with their outcomes in the ledger."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast
from uuid import UUID

import msgspec

from batchyard_contracts.v1.queries import (
    MAX_PAGE,
    AttemptsQuery,
    FailedAttempt,
    ItemState,
    OutcomesQuery,
    RecordedOutcome,
    ResultsQuery,
    StatesQuery,
    UnendedStatus,
)
from batchyard_contracts.v1.values import TERMINAL_STATUSES, Cause, TerminalStatus
from services.ingest.domain.ingest_error import IngestError
from services.ingest.queries.aggregator_client import AggregatorClient

_AT_ONCE = 200
"""Outcomes whose destinations are asked for at a time: each may be in another page of the dispatcher."""
_MAX_ROUNDS = 5
"""Pages of each service that are read for one page of items, of which the filters may leave few."""


@dataclass(frozen=True, slots=True)
class ItemSelection:
    """Filter on the items of a batch: at most `limit`, with ordinals greater than `after`."""

    owner: str
    batch_id: UUID
    state: str | None = None
    cause: Cause | None = None
    partition: str | None = None
    custom_id: str | None = None
    after: int = -1
    limit: int = 50


@dataclass(frozen=True, slots=True)
class FoundItem:
    """An item as the dispatcher and the ledger have it; None: that service does not have it at present."""

    ordinal: int
    stored: ItemState | None
    outcome: RecordedOutcome | None
    attempts: Sequence[FailedAttempt] = ()
    """Failed attempts that were followed by another one, the newest first; only of an item that is read by itself."""


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A page of items; `next_after` is the ordinal after which they go on, None at the end."""

    items: list[FoundItem]
    next_after: int | None = None


async def read_items(aggregator: AggregatorClient, selection: ItemSelection) -> ItemPage:
    """Return a page of items; raises `IngestError` when a service does not answer."""
    if selection.cause is not None or selection.state in TERMINAL_STATUSES:
        return await _ended_items(aggregator, selection)
    return await _stored_items(aggregator, selection)


async def read_item(aggregator: AggregatorClient, owner: str, batch_id: UUID, ordinal: int) -> FoundItem:
    """Return one item, its payload and its failed attempts included."""
    states = StatesQuery(owner=owner, batch_id=batch_id, ordinals=[ordinal], payloads=True)
    stored = (await aggregator.states(states)).items
    outcomes = await _outcomes(aggregator, owner, batch_id, [ordinal])
    item = FoundItem(ordinal, stored[0] if stored else None, outcomes.get(ordinal))
    if _ran_again(item):
        query = AttemptsQuery(owner=owner, batch_id=batch_id, ordinal=ordinal)
        with suppress(IngestError):  # an aggregator of an earlier version does not answer it
            item = replace(item, attempts=(await aggregator.attempts(query)).attempts)
    return item


def _ran_again(item: FoundItem) -> bool:
    """Tell whether an item may have a failed attempt that another one followed."""
    if item.outcome is not None:
        return item.outcome.attempts > 1 or item.outcome.round > 1 or item.outcome.status != "succeeded"
    return item.stored is not None and (item.stored.attempt or 1) > 1


async def read_result(aggregator: AggregatorClient, owner: str, batch_id: UUID, ordinal: int) -> bytes | None:
    """Return the result of an item as the JSON in which it arrived; None if there is none."""
    query = ResultsQuery(owner=owner, batch_id=batch_id, after=ordinal - 1, limit=1, max_items=1)
    for outcome in (await aggregator.results(query)).outcomes():
        if outcome.ordinal == ordinal and outcome.result != msgspec.Raw(b"null"):
            return bytes(outcome.result)
    return None


async def holders_of(aggregator: AggregatorClient, items: Sequence[FoundItem]) -> dict[int, str]:
    """Return the workers that hold running items, by ordinal; those that are still in a queue have none."""
    chunks = {item.ordinal: item.stored.chunk_id for item in items if item.stored and item.stored.chunk_id}
    if not chunks:
        return {}
    workers = (await aggregator.workers()).workers
    holders = {chunk: worker.worker_id for worker in workers for chunk in worker.chunks}
    return {ordinal: holders[chunk] for ordinal, chunk in chunks.items() if chunk in holders}


async def _ended_items(aggregator: AggregatorClient, selection: ItemSelection) -> ItemPage:
    """Return items that the ledger selects."""
    found: list[FoundItem] = []
    after = selection.after
    status = cast("TerminalStatus | None", selection.state)
    limit = selection.limit if selection.partition is None else _AT_ONCE
    for _ in range(_MAX_ROUNDS):
        reply = await aggregator.outcomes(
            OutcomesQuery(
                owner=selection.owner,
                batch_id=selection.batch_id,
                after=after,
                limit=limit if selection.custom_id is None else MAX_PAGE,
                status=status,
                cause=selection.cause,
            )
        )
        named = [one for one in reply.items if selection.custom_id in {None, one.custom_id}]
        stored = await _states(aggregator, selection, [outcome.ordinal for outcome in named])
        for outcome in named:
            item = FoundItem(outcome.ordinal, stored.get(outcome.ordinal), outcome)
            if selection.partition in {None, item.stored.partition if item.stored else None}:
                found.append(item)
            if len(found) == selection.limit:
                is_last = reply.next_after is None and outcome is named[-1]
                return ItemPage(found, None if is_last else outcome.ordinal)
        if reply.next_after is None:
            return ItemPage(found)
        after = reply.next_after
    return ItemPage(found, after)


async def _stored_items(aggregator: AggregatorClient, selection: ItemSelection) -> ItemPage:
    """Return items that the dispatcher selects."""
    found: list[FoundItem] = []
    after = selection.after
    status = cast("UnendedStatus | None", selection.state)
    for _ in range(_MAX_ROUNDS):
        reply = await aggregator.states(
            StatesQuery(
                owner=selection.owner,
                batch_id=selection.batch_id,
                after=after,
                limit=selection.limit - len(found),
                status=status,
                partition=selection.partition,
                custom_id=selection.custom_id,
            )
        )
        if not reply.found and status is None:  # an old batch, whose items the dispatcher has deleted
            return await _ended_items(aggregator, selection)
        ordinals = [item.ordinal for item in reply.items]
        outcomes = await _outcomes(aggregator, selection.owner, selection.batch_id, ordinals) if status is None else {}
        found += [FoundItem(item.ordinal, item, outcomes.get(item.ordinal)) for item in reply.items]
        if reply.next_after is None or len(found) >= selection.limit:
            return ItemPage(found, reply.next_after)
        after = reply.next_after
    return ItemPage(found, after)


async def _states(
    aggregator: AggregatorClient, selection: ItemSelection, ordinals: Sequence[int]
) -> dict[int, ItemState]:
    if not ordinals:
        return {}
    query = StatesQuery(owner=selection.owner, batch_id=selection.batch_id, ordinals=list(ordinals))
    return {item.ordinal: item for item in (await aggregator.states(query)).items}


async def _outcomes(
    aggregator: AggregatorClient, owner: str, batch_id: UUID, ordinals: Sequence[int]
) -> dict[int, RecordedOutcome]:
    if not ordinals:
        return {}
    query = OutcomesQuery(owner=owner, batch_id=batch_id, ordinals=list(ordinals))
    return {outcome.ordinal: outcome for outcome in (await aggregator.outcomes(query)).items}
