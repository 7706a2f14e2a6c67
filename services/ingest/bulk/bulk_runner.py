"""Works off actions on many batches, page by page.

Each batch is controlled under an id that is made of those of the action and of the batch, so that a page that is done
again after a crash commands nothing twice.
"""

from http import HTTPStatus
from typing import ClassVar

import structlog

from services.ingest.control.control_handler import BatchControlHandler
from services.ingest.domain.actor import INGEST
from services.ingest.domain.bulk_action import BulkAction
from services.ingest.domain.ingest_error import IngestError
from services.ingest.persistence.audit_log import act_as
from services.ingest.persistence.bulk_store import BulkStore
from services.ingest.queries.aggregator_client import AggregatorClient
from shared.runtime.transient import is_transient

log = structlog.get_logger()
_PAGE = 50
_MAX_ERROR = 300
_AWAY = {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
"""Statuses by which a service that is away refuses a command. Any other refusal concerns its batch alone."""
_REVOKED = "key_revoked: The key that began it was revoked; the batches behind got no command."

_UNREADABLE = "unreadable: A newer version of Batchyard began it, and has to run again to go on."


class BulkRunner:
    """Step of every replica, see above."""

    INTERVAL_S: ClassVar[float] = 0.5

    def __init__(self, store: BulkStore, aggregator: AggregatorClient, control_handler: BatchControlHandler) -> None:
        self._store, self._aggregator, self._control_handler = store, aggregator, control_handler

    async def update(self) -> float | None:
        """Do one page of an action; return 0 if there may be more."""
        action = await self._store.claim()
        if action is None:
            return None
        try:
            await self._do_page(action)
        finally:
            act_as(INGEST)
        return 0.0

    async def _do_page(self, action: BulkAction) -> None:
        if action.is_revoked:
            await self._store.save(action, action.last_batch, 0, 0, error=_REVOKED, has_ended=True)
            return
        if action.unread:
            await self._store.save(action, action.last_batch, 0, 0, error=_UNREADABLE, is_waiting=True)
            return
        done, refused, last, reason = 0, 0, action.last_batch, action.error
        query = action.form.query(action.owner, action.created_at, action.last_batch, _PAGE)
        try:
            found = await self._aggregator.batches(query)
            act_as(action.actor)
            for batch in found:
                try:
                    command = action.form.command(batch.batch_id)
                    command_id = f"batch-action.{action.action_id}.{batch.batch_id}"
                    await self._control_handler.control(action.owner, command, command_id)
                    done += 1
                except IngestError as error:
                    if error.rejection.status in _AWAY:
                        raise
                    refused += 1
                    reason = reason or f"{error.rejection.code}: {error.rejection.detail}"[:_MAX_ERROR]
                except Exception as error:
                    if is_transient(error):
                        raise
                    log.exception("a command of an action on many batches met a defect", batch_id=str(batch.batch_id))
                    refused += 1
                    reason = reason or f"A defect: {type(error).__name__}. The log has the details."
                last = batch.batch_id
        except IngestError as error:  # a service is away: the rest follows after a pause
            log.warning("an action on many batches waits", action_id=str(action.action_id), error=str(error))
            await self._store.save(action, last, done, refused, error=reason, is_waiting=True)
            return
        has_ended = len(found) < _PAGE
        await self._store.save(action, last, done, refused, error=reason, has_ended=has_ended)
