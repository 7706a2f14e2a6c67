"""Answers queries about batches, results and failures, each only for their owner."""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import orjson

from batchyard_contracts.message import Envelope, Message
from batchyard_contracts.v1.queries import (
    MAX_ATTENTION,
    MAX_ENDS_COUNTED,
    MAX_LAST_ENDS,
    BatchesQuery,
    BatchesReply,
    BatchState,
    EndsQuery,
    EndsReply,
    FailureGroup,
    FailuresQuery,
    FailuresReply,
    OutcomesQuery,
    OutcomesReply,
    RecordedOutcome,
    ResultsPage,
    ResultsQuery,
    ResultsReply,
    SelectionQuery,
    SelectionReply,
)
from batchyard_contracts.v1.values import SUMMARY_MAX_BYTES
from services.aggregator.domain.events import batch_state
from services.aggregator.domain.summary import NO_SUMMARY
from services.aggregator.handlers.large_results import NO_RESULTS, LargeResults, Results
from services.aggregator.persistence.store import LedgerStore
from services.aggregator.publishing.progress_events import ProgressEvents
from shared.runtime.errors import NotPermitted

MAX_REPLY_BYTES = 1_500_000
"""Size at which a page is cut: even if escapes double the text, a reply stays below the limit of a message."""
_MAX_GROUPS = 500
_MAX_OWNERS = 1000
"""Owners whose ends are looked at for an operator."""
_LOST = {
    "code": "result_lost",
    "message": "The item succeeded, and the store of large results has its result no longer. Restore the store from a "
    "backup, or run the item again in another batch.",
    "scope": "item",
}
MAX_ROWS_HERE = 200
"""Number of rows up to which encoding a page delays the event loop less than a thread would take."""


class SplicedReply(Message):
    """`ResultsReply` whose JSON is assembled from stored JSON, without parsing the results."""

    type: ClassVar[str] = ResultsReply.type
    body: bytes

    def encode(self) -> bytes:
        """Return the assembled JSON."""
        return self.body


class SplicedPage(SplicedReply):
    """`ResultsPage` that is assembled in the same way."""

    type: ClassVar[str] = ResultsPage.type


class QueryHandler:
    """Handler of queries to the ledger."""

    def __init__(self, store: LedgerStore, progress: ProgressEvents, large_results: LargeResults) -> None:
        self._store = store
        self._large_results = large_results
        self._progress = progress

    async def on_batches_query(self, query: BatchesQuery, envelope: Envelope) -> Message:
        """Return an owner's batches, or to a service those of all, the last accepted first. A page that would be too
        large for a message is truncated."""
        if query.all_owners and envelope.owner is not None:
            raise NotPermitted("The batches of all owners are for operators, by GET /api/v1/owners/batches.")
        found = await self._store.batches(query)
        summaries = await self._store.summaries(found) if query.batch_ids is not None else {}
        states: list[BatchState] = []
        size = 0
        for batch in found:
            one = batch_state(batch, self._progress.items_per_s(batch.batch_id), summaries.get(batch.key, NO_SUMMARY))
            size += 2 * SUMMARY_MAX_BYTES if batch.key in summaries else 0
            size += 800 + sum(4 * (len(key) + len(value)) for key, value in one.labels.items())
            size += 2 * len(orjson.dumps(one.metadata)) if one.metadata else 0
            if states and size > MAX_REPLY_BYTES:
                return BatchesReply(batches=states, truncated=True)
            states.append(one)
        return BatchesReply(batches=states)

    async def on_ends_query(self, query: EndsQuery, _: Envelope) -> EndsReply:
        """Return the batches that ended lately."""
        owners = [query.owner] if query.owner else await self._store.owners_with_ends(_MAX_OWNERS)
        last = await self._store.last_ends(owners, MAX_LAST_ENDS)
        failed = await self._store.failed_ends(owners, query.since, MAX_ENDS_COUNTED, MAX_ATTENTION)
        return EndsReply(
            results=await self._store.end_counts(owners, query.since, MAX_ENDS_COUNTED),
            last=[batch_state(batch, None) for batch in last],
            failed=[batch_state(batch, None) for batch in failed],
        )

    async def on_results_query(self, query: ResultsQuery, envelope: Envelope) -> Message:
        """Return a page of outcomes that fits into a message. A worker finds only batches whose summary it may make."""
        key = await self._store.batch_key(query.batch_id, query.owner, awaiting_summary=envelope.is_from_worker)
        if key is None:
            return ResultsReply(found=False) if query.max_items is None else ResultsPage(found=False)
        if query.skip:
            first = await self._store.skip_results(key, query)
            if first is None:
                return ResultsReply() if query.max_items is None else ResultsPage()
            query = query.model_copy(update={"after": first - 1})
        limit = query.max_items or query.limit
        rows = await self._store.results(key, query, limit, MAX_REPLY_BYTES)
        stored = await self._large_results.load(query.batch_id, rows)
        is_long = len(rows) > MAX_ROWS_HERE
        body = await asyncio.to_thread(_encode, rows, stored) if is_long else _encode(rows, stored)
        return SplicedReply(body=body) if query.max_items is None else SplicedPage(body=body)

    async def on_outcomes_query(self, query: OutcomesQuery, _: Envelope) -> OutcomesReply:
        """Return outcomes without their results."""
        key = await self._store.batch_key(query.batch_id, query.owner)
        if key is None:
            return OutcomesReply(found=False)
        rows = await self._store.outcomes(key, query, MAX_REPLY_BYTES)
        page = rows[:-1] if rows and rows[-1]["is_beyond"] else rows
        found = [
            RecordedOutcome.model_validate(
                item_result(row) | {"recorded_at": row["recorded_at"], "cause": row["cause"]}
            )
            for row in page
        ]
        return OutcomesReply(items=found, next_after=page[-1]["ordinal"] if len(page) < len(rows) else None)

    async def on_failures_query(self, query: FailuresQuery, _: Envelope) -> Message:
        """Return the failures by cause, the most frequent first."""
        key = await self._store.batch_key(query.batch_id, query.owner)
        if key is None:
            return FailuresReply(found=False)
        rows = await self._store.failures(key, _MAX_GROUPS)
        return FailuresReply(
            groups=[
                FailureGroup(
                    code=row["code"],
                    count=row["number"],
                    message=row["message"],
                    ordinals=row["ordinals"] or [],
                    cause=row["cause"],
                    partition=row["partition"],
                    retryable=row["retryable"],
                )
                for row in rows
            ]
        )

    async def on_selection_query(self, query: SelectionQuery, _: Envelope) -> Message:
        """Return the items that a retry would run again."""
        key = await self._store.batch_key(query.batch_id, query.owner)
        batches = await self._store.batches(BatchesQuery(owner=query.owner, batch_ids=[query.batch_id], limit=1))
        if key is None or not batches:
            return SelectionReply(found=False)
        found = (
            await self._store.selected_ordinals(key, query.select, query.after, query.limit + 1) if query.limit else []
        )
        page = found[: query.limit]
        return SelectionReply(
            round=batches[0].round,
            ordinals=page,
            next_after=page[-1] if len(found) > len(page) else None,
            count=await self._store.count_selected(key, query.select) if query.count else None,
        )


def _encode(rows: Sequence[Any], stored: Results) -> bytes:
    """Return the page of some rows as JSON; a last row that is beyond the page only says that there are more."""
    page = rows[:-1] if rows and rows[-1]["is_beyond"] else rows
    reply: dict[str, Any] = {"found": True, "items": [item_result(row, stored) for row in page]}
    if len(page) < len(rows):
        reply["next_after"] = page[-1]["ordinal"]
    return orjson.dumps(reply)


def item_result(row: Any, stored: Results = NO_RESULTS) -> dict[str, Any]:
    """Return an `ItemResult` without its unset fields, with its result if that is in the row or among the stored."""
    item: dict[str, Any] = {
        "ordinal": row["ordinal"],
        "status": row["status"],
        "round": row["round"],
        "attempts": row["attempts"],
        "cached": row["cached"],
    }
    for name in ("custom_id", "duplicate_of", "elapsed_ms"):
        if (value := row[name]) is not None:
            item[name] = value
    if row["duplicate_of_batch"] is not None:
        item["duplicate_of_batch"] = str(row["duplicate_of_batch"])  # a type of the driver's own
    if row["error_code"] is not None:
        item["error"] = {"code": row["error_code"], "message": row["error_message"], "scope": row["error_scope"]}
    if row.get("result") is not None:
        item["result"] = orjson.Fragment(row["result"])
    elif (digest := row.get("stored_sha256")) is not None:
        if (result := stored[digest]) is not None:
            item["result"] = orjson.Fragment(result)
        else:
            item.setdefault("error", _LOST)
    return item
