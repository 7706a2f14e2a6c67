"""Answers queries for the items of a batch, what the dispatcher does with them included.

Items are found by their ordinals, among those in flight and those that run again, or by a walk over a bounded number of
pages. Their states come from the cursors of the pages, the leases in memory, and the rows of retries.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.queries import ItemState, StatesQuery, StatesReply
from services.dispatcher.domain.batch import Batch
from services.dispatcher.domain.item_line import custom_id_of, is_unreadable
from services.dispatcher.domain.lease import Lease
from services.dispatcher.domain.scheduling.partition_queue import PageRange
from services.dispatcher.intake.item_lookup import StoredItem, find_items, items_of, page_before
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.retry_store import RetryState
from services.dispatcher.persistence.stores import Stores
from services.dispatcher.queries.payload_query import REPLY_BYTES
from services.dispatcher.state.state import DispatcherState

_MAX_PAGES_READ = 10
"""Pages that are read for one reply, each of at most a thousand items."""
_PAGES_SEARCHED = 100
"""Pages that the database searches at a time for those that are read."""
_MAX_SEARCHES = 10
_LEASES_PER_READ = 50
"""Chunks whose pages are read at a time, if they are not known."""


class StatesQueryHandler:
    """Message handler of these queries."""

    def __init__(self, state: DispatcherState, stores: Stores, pages: PageCache) -> None:
        self._state, self._stores, self._pages = state, stores, pages

    async def on_states_query(self, query: StatesQuery, _: Envelope) -> StatesReply:
        """Return the items that the query selects."""
        if await self._stores.batches.owner_of(query.batch_id) != query.owner:
            return StatesReply(found=False)
        batch = self._state.batches.get(query.batch_id)
        leased = await self._leased(batch)
        if query.ordinals is not None:
            items = [item async for found in find_items(self._stores, query.batch_id, query.ordinals) for item in found]
            return _reply(await self._states(query, batch, items, leased))
        if query.status is None or (query.status == "waiting" and batch is not None and batch.round == 1):
            return await self._walk(query, batch, leased)
        return StatesReply() if batch is None else await self._unended(query, batch, leased)

    async def _leased(self, batch: Batch | None) -> dict[int, Lease]:
        """Return the lease of each item of a batch that is in flight."""
        found: dict[int, Lease] = {}
        if batch is not None:
            leases = [each for each in self._state.leases.values() if each.is_of(batch)]
            unread = [each for each in leases if isinstance(each.source, PageRange) and each.ordinals is None]
            for start in range(0, len(unread), _LEASES_PER_READ):  # none but after a change of the active dispatcher
                await self._pages.items(unread[start : start + _LEASES_PER_READ])
            for lease in leases:
                found |= dict.fromkeys((o for o in await self._pages.ordinals(lease) if o not in lease.reported), lease)
        return found

    async def _unended(self, query: StatesQuery, batch: Batch, leased: dict[int, Lease]) -> StatesReply:
        """Return items that are in flight or run again, which are few beside those that only wait in their pages."""
        if query.status == "running":
            flying = (o for o, x in leased.items() if o > query.after and query.partition in {None, x.partition})
            ordinals = sorted(flying)[: query.limit + 1]
        else:
            ordinals = await self._stores.retries.retrying_ordinals(
                batch.batch_id, batch.round, query.after, query.partition, query.limit + 1
            )
        more = ordinals[query.limit - 1] if len(ordinals) > query.limit else None
        wanted = ordinals[: query.limit]
        items = [item async for found in find_items(self._stores, batch.batch_id, wanted) for item in found]
        states = await self._states(query, batch, items, leased)
        return _reply([one for one in states if _is_selected(one, query)], more)

    async def _walk(self, query: StatesQuery, batch: Batch | None, leased: dict[int, Lease]) -> StatesReply:
        """Return items of the next pages, without those pages that have no item of the selection."""
        batch_id, found = query.batch_id, list[StoredItem]()
        last = await self._stores.pages.last_page(batch_id)
        at = await page_before(self._stores, batch_id, query.after + 1, 0, last) if query.after >= 0 else 0
        for _ in range(_MAX_PAGES_READ):
            page, at = await self._find_page(query, at, last)
            if page is None:
                break
            for item in items_of(await self._stores.pages.pages_from(batch_id, page, 1)):
                if item.ordinal > query.after and _is_found(item, query, batch):
                    found.append(item)
            if len(found) > query.limit:
                break
        found.sort(key=lambda item: item.ordinal)
        next_after = (
            found[query.limit - 1].ordinal if len(found) > query.limit else await self._cursor(batch_id, at, last)
        )
        items = await self._patched(batch_id, found[: query.limit])
        return _reply(await self._states(query, batch, items, leased), next_after)

    async def _find_page(self, query: StatesQuery, at: int, last: int) -> tuple[int | None, int]:
        """Return the next page with items of a selection, and the one after it; no page if the search takes long, or if
        there is none."""
        text = None if query.custom_id is None else to_json(query.custom_id)
        for _ in range(_MAX_SEARCHES):
            if at > last:
                break
            upto = min(last, at + _PAGES_SEARCHED - 1)
            page = await self._stores.pages.page_with(
                query.batch_id, at, upto, query.partition, text, is_waiting=query.status == "waiting"
            )
            if page is not None:
                return page, page + 1
            at = upto + 1
        return None, at

    async def _cursor(self, batch_id: UUID, at: int, last: int) -> int | None:
        """Return the ordinal before the first one of a page; None behind the last page."""
        first = await self._stores.pages.first_ordinal_from(batch_id, at) if at <= last else None
        return first[1] - 1 if first else None

    async def _patched(self, batch_id: UUID, items: Sequence[StoredItem]) -> list[StoredItem]:
        """Return the items with the payloads that retries have changed."""
        rows = await self._stores.pages.patched_items(batch_id, [item.ordinal for item in items])
        patched = {row[0]: StoredItem(*row) for row in rows}
        return [patched.get(item.ordinal, item) for item in items]

    async def _states(
        self, query: StatesQuery, batch: Batch | None, items: Sequence[StoredItem], leased: dict[int, Lease]
    ) -> list[ItemState]:
        """Return the items with their states, in the order of their ordinals."""
        again: dict[int, RetryState] = {}
        if batch is not None:
            ordinals = [item.ordinal for item in items]
            again = await self._stores.retries.retry_states(batch.batch_id, batch.round, ordinals)
        now, at = time.monotonic(), datetime.now(UTC)
        states: list[ItemState] = []
        for item in sorted(items, key=lambda item: item.ordinal):
            known: dict[str, Any] = {}
            lease, retry = leased.get(item.ordinal), again.get(item.ordinal)
            if lease is not None:
                since = at - timedelta(seconds=max(0.0, now - lease.sent_at))
                known = {"status": "running", "attempt": lease.attempt, "since": since}
                known |= {"chunk_id": lease.chunk_id, "error": retry.error if retry else None}
            elif retry is not None and (retry.attempt > 1 or retry.error):
                known = {"status": "retrying", "attempt": retry.attempt, "error": retry.error}
                known["retry_at"] = retry.due_at
            elif batch is not None and (retry is not None or _is_waiting(item, batch)):
                known = {"status": "waiting", "attempt": 1}
            states.append(_state(item, known, with_payload=query.payloads))
        return states


def _state(item: StoredItem, known: dict[str, Any], *, with_payload: bool) -> ItemState:
    payload = from_json(item.line)["payload"] if with_payload and not is_unreadable(item.line) else None
    return ItemState(
        ordinal=item.ordinal,
        payload=payload,
        custom_id=custom_id_of(item.line),
        partition=item.partition,
        **known,
    )


def _is_waiting(item: StoredItem, batch: Batch) -> bool:
    """Tell whether an item waits in its page for its first run."""
    return item.is_untouched and item.ordinal not in batch.dropped


def _is_found(item: StoredItem, query: StatesQuery, batch: Batch | None) -> bool:
    """Tell whether an item of a page belongs to the selection."""
    return (
        (query.partition is None or item.partition == query.partition)
        and (query.status is None or (batch is not None and _is_waiting(item, batch)))
        and (query.custom_id is None or custom_id_of(item.line) == query.custom_id)
    )


def _is_selected(state: ItemState, query: StatesQuery) -> bool:
    return state.status == query.status and query.custom_id in {None, state.custom_id}


def _reply(items: list[ItemState], next_after: int | None = None) -> StatesReply:
    """Return as many of the items as fit into a message."""
    size = 0
    for number, item in enumerate(items):
        size += 300 if item.payload is None else 300 + len(to_json(item.payload))
        if number and size > REPLY_BYTES:
            return StatesReply(items=items[:number], next_after=items[number - 1].ordinal)
    return StatesReply(items=items, next_after=next_after)
