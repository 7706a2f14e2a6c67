"""Starts follow-up batches when the batch before has ended.

The end event of the ledger makes a row due. A transaction records the id of the next batch, which is then submitted
under that id. A process that dies in between leaves it to another one, which asks first whether a batch with this id
was accepted. More items than one command takes are appended in parts, each of which counts once.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Any, ClassVar
from uuid import UUID

import orjson
import structlog

from batchyard_contracts.v1.commands import BatchAppend, BatchControl, BatchSeal, BatchSubmit
from batchyard_contracts.v1.templates import FollowUp, FollowUpItems, TemplateRun
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH, MAX_ITEMS_PER_COMMAND
from services.ingest.control.control_handler import BatchControlHandler
from services.ingest.domain.actor import INGEST, Actor
from services.ingest.domain.follow_up_items import FollowUpItemMaker
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.stored_form import read_stored
from services.ingest.domain.submission_outcome import Accepted, Failed, Postponed
from services.ingest.domain.template import takes_items
from services.ingest.persistence.audit_log import act_as
from services.ingest.persistence.follow_up_store import MAX_CHAINED, DueFollowUp, FollowUpStore
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.queries.result_reader import ResultSelection, read_results
from services.ingest.schedules.submission_attempt import try_submission
from services.ingest.submission.append import BatchAppender
from services.ingest.submission.submit import BatchSubmitter
from services.ingest.templates.template_manager import TemplateManager

log = structlog.get_logger()
_LIMIT = 10
MAX_BYTES = 3 * 1024 * 1024
"""Size of the results that become the items of one command."""
_TOO_MANY = Rejection(
    "too_many_items",
    f"The results give more than {MAX_ITEMS_PER_COMMAND} items or {MAX_BYTES} bytes, which only a template takes whose "
    "parameter fills `/items` and nothing else. Change the template, or submit the items as a file.",
)
_TOO_MANY_FOR_BATCH = Rejection(
    "too_many_items", f"The results give more than {MAX_ITEMS_PER_BATCH} items, the limit of a batch."
)
_CHANGED = Rejection(
    "results_changed",
    "The results have changed while the batch was being sent in parts. It is cancelled; submit its items as a file.",
)
_TOO_LONG = Rejection(
    "chain_too_long",
    f"A chain has at most {MAX_CHAINED} batches. Check that no template follows itself, or use a schedule.",
)
_UNREADABLE = Rejection(
    "follow_up_unreadable",
    "A newer version of Batchyard has stored this follow-up, and this one cannot read it. Submit the batch by hand.",
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
        appender: BatchAppender,
        control_handler: BatchControlHandler,
        aggregator: AggregatorClient,
        new_id: Callable[[], UUID],
    ) -> None:
        self._store = store
        self._templates = templates
        self._submitter = submitter
        self._appender = appender
        self._control_handler = control_handler
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
            with suppress(IngestError):  # nothing of it was accepted, which is the rule
                await self._control_handler.control(
                    follow_up.owner, BatchControl(batch_id=follow_up.next_batch, action="cancel")
                )
            await self._store.end(follow_up, "failed", outcome.reason)
        else:
            await self._store.end(follow_up, "started")
            log.info("follow-up started", batch_id=str(follow_up.batch_id), next_batch=str(follow_up.next_batch))

    async def _submit(self, follow_up: DueFollowUp) -> None:
        if follow_up.chained >= MAX_CHAINED:
            raise IngestError(_TOO_LONG)
        form, unread = read_stored(FollowUp, follow_up.form)
        if unread:
            raise IngestError(_UNREADABLE)
        version = await self._version(follow_up, form)
        parameters: dict[str, Any] = dict(form.parameters)
        if form.summary is not None:
            state = await self._aggregator.state(follow_up.owner, follow_up.batch_id)
            parameters[form.summary] = None if state is None else state.summary
        run = TemplateRun(parameters=parameters, version=version, batch_id=follow_up.next_batch)
        if form.items is None:
            await self._submitter.submit(follow_up.owner, await self._command(follow_up, form, run))
            return
        async with aclosing(self._pages(follow_up, form.items)) as pages:
            first, second = await anext(pages, None), await anext(pages, None)
            if first is None:
                raise IngestError(_NO_ITEMS)
            command = await self._command(follow_up, form, run, first)
            if second is None:
                await self._submitter.submit(follow_up.owner, command)
                return
            template = await self._templates.get(follow_up.owner, form.template, version)
            if not takes_items(template.form, form.items.parameter):
                raise IngestError(_TOO_MANY)
            try:
                await self._submit_in_parts(follow_up, form, run, command, second, pages)
            except IngestError as error:
                if error.rejection.code in {"idempotency_conflict", "sequence_conflict"}:
                    raise IngestError(_CHANGED) from error
                raise

    async def _submit_in_parts(
        self,
        follow_up: DueFollowUp,
        form: FollowUp,
        run: TemplateRun,
        command: BatchSubmit,
        second: list[dict[str, Any]],
        rest: AsyncIterator[list[dict[str, Any]]],
    ) -> None:
        """Submit an open batch, append the further parts, and seal it as the template says. What was done before, by a
        process that has died, has no effect again."""
        owner, batch_id = follow_up.owner, follow_up.next_batch
        await self._store.mark_paged(follow_up)
        await self._submitter.submit(owner, command.model_copy(update={"sealed": False}))
        part: list[dict[str, Any]] | None = second
        sequence, count = 0, len(command.items)
        while part is not None:
            items = (await self._command(follow_up, form, run, part)).items
            count += len(items)
            if count > MAX_ITEMS_PER_BATCH:
                raise IngestError(_TOO_MANY_FOR_BATCH)
            await self._appender.append(owner, BatchAppend(batch_id=batch_id, sequence=sequence, items=items))
            await self._store.mark_paged(follow_up)
            sequence += 1
            part = await anext(rest, None)
        if command.sealed:
            await self._appender.seal(owner, BatchSeal(batch_id=batch_id))

    async def _version(self, follow_up: DueFollowUp, form: FollowUp) -> int:
        """Return the version of the template, which stays when the follow-up is tried again."""
        version = follow_up.version or form.version
        if version is None:
            version = (await self._templates.get(follow_up.owner, form.template)).version
        if follow_up.version is None:
            await self._store.record_version(follow_up, version)
        return version

    async def _command(
        self, follow_up: DueFollowUp, form: FollowUp, run: TemplateRun, items: list[dict[str, Any]] | None = None
    ) -> BatchSubmit:
        """Return the command that the template gives, with these items if the follow-up has some."""
        if form.items is not None:
            run = run.model_copy(update={"parameters": run.parameters | {form.items.parameter: items}})
        return await self._templates.command(follow_up.owner, form.template, run)

    async def _pages(self, follow_up: DueFollowUp, rule: FollowUpItems) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Yield the items that the results give, as many at a time as one command takes."""
        maker, found, size = FollowUpItemMaker(rule), list[dict[str, Any]](), 0
        selection = ResultSelection(follow_up.owner, follow_up.batch_id, status="succeeded")
        async for page in read_results(self._aggregator, selection):
            for item in page.items:
                raw = bytes(item)
                for made in maker.items(orjson.loads(raw).get("result")):
                    if len(found) == MAX_ITEMS_PER_COMMAND:
                        yield found
                        found, size = [], 0
                    found.append(made)
                size += len(raw)
                if size > MAX_BYTES and found:
                    yield found
                    found, size = [], 0
        if found:
            yield found
