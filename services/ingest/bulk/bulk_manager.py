"""Begins, previews and shows actions on many batches."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from batchyard_contracts.v1.queries import BatchState
from services.ingest.domain.bulk_action import BulkAction, BulkForm
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.persistence.audit_log import current_actor
from services.ingest.persistence.bulk_store import BulkStore
from services.ingest.queries.aggregator_client import AggregatorClient

MAX_RUNNING = 10
"""Actions of one owner that have not ended."""
MAX_SAMPLES = 20
MAX_COUNTED = 2000
"""Batches that a preview counts."""
_PAGE = 500
NOT_FOUND = Rejection("batch_action_not_found", "There is no such action. Check its id, and that it is yours.", 404)
_TOO_MANY = Rejection(
    "too_many_batch_actions",
    f"An owner has at most {MAX_RUNNING} actions on many batches that have not ended. Wait for one.",
    429,
    retry_after_s=5,
)
_KEY_TAKEN = Rejection("idempotency_conflict", "The key was used for another action. Use a new one.", 409)


class Preview(NamedTuple):
    """Batches that an action would be for: their number as far as they were counted, and the first of them."""

    number: int
    is_all: bool
    samples: list[BatchState]


class BulkManager:
    """Actions on many batches, as clients see them."""

    def __init__(
        self,
        store: BulkStore,
        aggregator: AggregatorClient,
        new_id: Callable[[], UUID],
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._aggregator, self._new_id, self._clock = store, aggregator, new_id, clock

    async def begin(self, owner: str, form: BulkForm, key: str | None) -> BulkAction:
        """Begin an action, once for each idempotency key; raises `IngestError`."""
        check(form)
        action = await self._store.insert(self._new_id(), owner, current_actor(), form, key, MAX_RUNNING)
        if action is not None:
            return action
        earlier = await self._store.get_by_key(owner, key) if key is not None else None
        if earlier is None:
            raise IngestError(_TOO_MANY)
        if earlier.form != form:
            raise IngestError(_KEY_TAKEN)
        return earlier

    async def preview(self, owner: str, form: BulkForm) -> Preview:
        """Return the batches that an action would be for, and change nothing."""
        check(form)
        found: list[BatchState] = []
        until = self._clock()
        while len(found) < MAX_COUNTED:
            after = found[-1].batch_id if found else None
            page = await self._aggregator.batches(form.query(owner, until, after, _PAGE))
            found += page
            if len(page) < _PAGE:
                return Preview(len(found), True, found[:MAX_SAMPLES])
        return Preview(len(found), False, found[:MAX_SAMPLES])

    async def get(self, owner: str, action_id: UUID) -> BulkAction:
        """Return an action; raises `IngestError` (404)."""
        action = await self._store.get(owner, action_id)
        if action is None:
            raise IngestError(NOT_FOUND)
        return action

    async def page(self, owner: str, before: datetime, limit: int) -> list[BulkAction]:
        """Return actions that were begun before a time, the newest first."""
        return await self._store.page(owner, before, limit)


def check(form: BulkForm) -> None:
    """Refuse an action that says too little or too much; raises `IngestError`."""
    if form.filter.selects_all:
        detail = "The filter selects all batches. Name what they have in common, such as a `state`."
        raise IngestError(Rejection("invalid_request", detail, pointer="/filter"))
    if (form.action == "change") != (form.priority is not None):
        raise IngestError(Rejection("invalid_request", "`change` takes a `priority`, and no other action does."))
