"""Starts follow-up batches when the batch before has ended.

The end event of the ledger makes a row due. A transaction records the id of the next batch, which is then submitted
under that id. A process that dies in between leaves it to another one, which asks first whether a batch with this id
was accepted.
"""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

import orjson
import structlog

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.templates import FollowUp, FollowUpItems, TemplateRun
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND
from services.ingest.domain.actor import INGEST, Actor
from services.ingest.domain.follow_up_items import FollowUpItemMaker
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.submission_outcome import Accepted, Failed, Postponed
from services.ingest.persistence.audit_log import act_as
from services.ingest.persistence.follow_up_store import MAX_CHAINED, DueFollowUp, FollowUpStore
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.queries.result_reader import ResultSelection, read_results
from services.ingest.schedules.submission_attempt import try_submission
from services.ingest.submission.submit import BatchSubmitter
from services.ingest.templates.template_manager import TemplateManager

log = structlog.get_logger()
_LIMIT = 10
_MAX_BYTES = 3 * 1024 * 1024
"""Largest size of the results that become items, so that the command fits a message."""
_TOO_MANY = Rejection(
    "too_many_items",
    f"The results give more than {MAX_ITEMS_PER_COMMAND} items or {_MAX_BYTES} bytes. Submit them as a file.",
)
_TOO_LONG = Rejection(
    "chain_too_long",
    f"A chain has at most {MAX_CHAINED} batches. Check that no template follows itself, or use a schedule.",
)
_NO_ITEMS = Rejection("no_items", "The results give no item.")


class FollowUpStarter:
    """Background task of each replica that submits the follow-ups that are due."""

    INTERVAL_S: ClassVar[float] = 1.0

    def __init__(
        self,
        store: FollowUpStore,
        templates: TemplateManager,
        submitter: BatchSubmitter,
        aggregator: AggregatorClient,
        new_id: Callable[[], UUID],
    ) -> None:
        self._store = store
        self._templates = templates
        self._submitter = submitter
        self._aggregator = aggregator
        self._new_id = new_id

    async def update(self) -> float | None:
        """Start some follow-ups; return 0 if more may be due."""
        begun, has_more = await self._store.claim(_LIMIT, self._new_id)
        try:
            for follow_up in begun:
                await self._start(follow_up)
        finally:
            act_as(INGEST)
        return 0.0 if has_more else None

    async def _start(self, follow_up: DueFollowUp) -> None:
        act_as(Actor(follow_up.owner, "service"))
        outcome = Accepted() if follow_up.is_accepted else await try_submission(self._submit(follow_up))
        if isinstance(outcome, Postponed):
            await self._store.postpone(follow_up, outcome.pause)
        elif isinstance(outcome, Failed):
            await self._store.end(follow_up, "failed", outcome.reason)
        else:
            await self._store.end(follow_up, "started")
            log.info("follow-up started", batch_id=str(follow_up.batch_id), next_batch=str(follow_up.next_batch))

    async def _submit(self, follow_up: DueFollowUp) -> None:
        await self._submitter.submit(follow_up.owner, await self._command(follow_up))

    async def _command(self, follow_up: DueFollowUp) -> BatchSubmit:
        if follow_up.chained >= MAX_CHAINED:
            raise IngestError(_TOO_LONG)
        owner = follow_up.owner
        form = FollowUp.model_validate_json(follow_up.form, extra="ignore")
        version = follow_up.version or form.version
        if version is None:
            version = (await self._templates.get(owner, form.template)).version
        if follow_up.version is None:
            await self._store.record_version(follow_up, version)
        parameters: dict[str, Any] = dict(form.parameters)
        if form.items is not None:
            parameters[form.items.parameter] = await self._items(follow_up, form.items)
        if form.summary is not None:
            state = await self._aggregator.state(owner, follow_up.batch_id)
            parameters[form.summary] = None if state is None else state.summary
        run = TemplateRun(parameters=parameters, version=version, batch_id=follow_up.next_batch)
        return await self._templates.command(owner, form.template, run)

    async def _items(self, follow_up: DueFollowUp, rule: FollowUpItems) -> list[dict[str, Any]]:
        maker, found, size = FollowUpItemMaker(rule), list[dict[str, Any]](), 0
        selection = ResultSelection(follow_up.owner, follow_up.batch_id, status="succeeded")
        async for page in read_results(self._aggregator, selection):
            for item in page.items:
                size += len(bytes(item))
                found += maker.items(orjson.loads(bytes(item)).get("result"))
                if len(found) > MAX_ITEMS_PER_COMMAND or size > _MAX_BYTES:
                    raise IngestError(_TOO_MANY)
        if not found:
            raise IngestError(_NO_ITEMS)
        return found
