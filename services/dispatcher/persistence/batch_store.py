"""The tables of batches: headers, controls, terms, and the manifests of workloads."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, get_args
from uuid import UUID

import asyncpg
import orjson
import structlog
from pydantic import ValidationError

from batchyard_contracts.v1.flow import BatchAccepted, BatchControlled, WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import PRIORITIES, Reuse, StopReason, Terms
from services.dispatcher.domain.accepted_batch import AcceptedBatch
from services.dispatcher.domain.batch import Batch
from services.dispatcher.persistence.page_store import PageSegment, SavedSegment, segments_of
from services.dispatcher.persistence.statements import SQL
from shared.postgres.pool import Pool
from shared.postgres.queries import columns

log = structlog.get_logger()
_NO_TERMS = Terms()
_STOP_REASONS = (None, *get_args(StopReason))


class BatchHistory(NamedTuple):
    """A batch in the table: the start of its latest round, and the partitions of its first page segments."""

    owner: str
    workload: str
    round: int
    started_at: datetime | None
    partitions: list[str]


class BatchStore:
    """Reads and writes batches. Every write may be repeated."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def manifests(self) -> list[Manifest]:
        """Return the manifests that workers have announced, without those that this version cannot read."""
        found: list[Manifest] = []
        for row in await self._pool.fetch(SQL["manifests"]):
            try:
                found.append(Manifest.model_validate_json(row["manifest"]))
            except ValidationError as error:
                log.error("stored manifest cannot be read", workload=row["name"], error=str(error)[:300])
        return found

    async def save_manifests(self, announced: WorkerAnnounced, *, redelivered: bool) -> list[Manifest]:
        """Save announced manifests; returns those that hold now, see `save_manifests` in the SQL."""
        manifests = {m.name: m for m in announced.manifests}
        bodies = [m.model_dump_json().encode() for m in manifests.values()]
        rows = await self._pool.fetch(SQL["save_manifests"], list(manifests), bodies, announced.started_at, redelivered)
        return [manifests[row["name"]] for row in rows]

    async def save_batch(self, accepted: BatchAccepted, traceparent: str | None) -> Batch | None:
        """Save a batch header; None if the batch is finished or withdrawn already."""
        await self._save_terms([(accepted.batch_id, accepted.terms, [], accepted.accepted_at)])
        row = await self._pool.fetchrow(SQL["save_batch"], *_header_row(accepted, traceparent))
        return _batch(row) if row else None

    async def save_whole_batches(
        self, accepted: Sequence[tuple[AcceptedBatch, str | None]]
    ) -> list[tuple[Batch, list[SavedSegment]]]:
        """Save headers, each with its trace, and their items, in one statement; without the batches that are finished
        or withdrawn already."""
        headers = [(whole.header, traceparent) for whole, traceparent in accepted]
        await self._save_terms([(h.batch_id, h.terms, [], h.accepted_at) for h, _ in headers])
        segments = segments_of(whole.page for whole, _ in accepted)
        rows = await self._pool.fetch(
            SQL["save_whole_batches"],
            *columns([_header_row(*header) for header in headers], 6),
            *columns([segment.row() for segment in segments], 6),
        )
        by_batch: dict[UUID, list[PageSegment]] = {}
        for segment in segments:
            by_batch.setdefault(segment.batch_id, []).append(segment)
        return [
            (
                _batch(row, "new_segments"),
                [x.saved(is_new=x.segment in row["new_segments"]) for x in by_batch.get(row["batch_id"], [])],
            )
            for row in rows
        ]

    async def live_batches(self) -> list[Batch]:
        """Return the unfinished batches with their controls."""
        return [_batch(row) for row in await self._pool.fetch(SQL["live_batches"], None)]

    async def live_batch(self, batch_id: UUID) -> Batch | None:
        """Return an unfinished batch with its controls; None if there is none."""
        return next((_batch(row) for row in await self._pool.fetch(SQL["live_batches"], batch_id)), None)

    async def save_control(self, command: BatchControlled) -> None:
        """Save a control, also of a batch that is not known yet. The last one of each kind holds."""
        paused = {"pause": True, "resume": False}.get(command.action)
        priority = command.priority if command.action == "change" else None
        cancelled = command.action == "cancel"
        await self._pool.execute(SQL["save_control"], command.batch_id, paused, priority, cancelled, command.at)
        await self._save_terms([(command.batch_id, command.terms, command.clear, command.at)])

    async def save_stop(self, batch_id: UUID, round_: int, reason: StopReason) -> None:
        """Save that a service stopped a round; the first reason holds."""
        await self._pool.execute(SQL["save_stop"], batch_id, round_, reason)

    async def finish(self, rounds: Mapping[UUID, int]) -> None:
        """Save the ends of rounds, by batch."""
        await self._pool.execute(SQL["finish_batches"], list(rounds), list(rounds.values()))

    async def reopen(self, batch_id: UUID, round_: int, requested_at: datetime | None) -> Batch | None:
        """Begin another round; None if the batch is unknown or has begun or ended this round."""
        if await self._pool.fetchval(SQL["reopen_batch"], batch_id, round_, requested_at) is None:
            return None
        return await self.live_batch(batch_id)

    async def is_known(self, batch_id: UUID) -> bool:
        """Tell whether a batch, finished or not, is stored."""
        return bool(await self._pool.fetchval(SQL["is_known"], batch_id))

    async def unheld(self, batch_ids: Sequence[UUID]) -> list[tuple[UUID, int | None]]:
        """Return those of the batches of which the tables have no item to run, each with its round if it is known."""
        rows = await self._pool.fetch(SQL["unheld_batches"], batch_ids)
        return [(row["batch_id"], row["round"]) for row in rows]

    async def withdraw(self, batch_id: UUID) -> None:
        """Delete the pages of a failed submission, and refuse those still to come."""
        await self._pool.execute(SQL["withdraw"], batch_id)

    async def history(self, batch_id: UUID, most: int) -> BatchHistory | None:
        """Return what is recorded of a batch, with the partitions of its first page segments; None: unknown."""
        row = await self._pool.fetchrow(SQL["batch_history"], batch_id, most)
        return BatchHistory(**row) if row else None

    async def owner_of(self, batch_id: UUID) -> str | None:
        """Return the owner of a batch; None if the batch is not stored."""
        owner: str | None = await self._pool.fetchval(SQL["owner_of"], batch_id)
        return owner

    async def _save_terms(self, changes: Iterable[tuple[UUID, Terms, Sequence[str], datetime]]) -> None:
        """Save changed terms: (batch, terms, names that are cleared, time)."""
        rows: list[tuple[UUID, str, str | None, datetime]] = []
        for batch_id, terms, clear, at in changes:
            if terms == _NO_TERMS and not clear:
                continue
            values: dict[str, str | None] = dict.fromkeys(clear)
            changed = terms.model_dump(mode="json", exclude_none=True)
            values |= {name: orjson.dumps(value).decode() for name, value in changed.items() if value != {}}
            rows += [(batch_id, name, value, at) for name, value in values.items()]
        if rows:
            await self._pool.execute(SQL["save_terms"], *columns(rows, 4))


def _header_row(accepted: BatchAccepted, traceparent: str | None) -> tuple[object, ...]:
    names = (accepted.batch_id, accepted.owner, accepted.workload, accepted.priority)
    return (*names, traceparent, _reuse(accepted))


def _reuse(accepted: BatchAccepted) -> str | None:
    return None if accepted.reuse == Reuse() else accepted.reuse.model_dump_json(exclude_none=True)


def _batch(row: asyncpg.Record, *without: str) -> Batch:
    """Return the batch of a row, whose columns are its fields, except those named.

    One whose options this version cannot read is paused and names them, so that it is stopped. A priority of another
    version counts as normal, and a reason to stop as a defect.
    """
    values = {name: value for name, value in row.items() if name not in without}
    cause, terms, reuse = (values.pop(name) for name in ("stop_cause", "terms", "reuse"))
    if values["priority"] not in PRIORITIES or cause not in _STOP_REASONS:
        log.error("stored controls cannot be read", batch_id=str(values["batch_id"]), stop_cause=cause)
        values["priority"] = values["priority"] if values["priority"] in PRIORITIES else "normal"
        cause = cause if cause in _STOP_REASONS else "internal_error"
    batch = Batch(**values, stop_reason=cause)
    try:
        batch.unreadable = "terms"
        batch.terms = Terms.model_validate_json(terms) if terms else Terms()
        batch.unreadable = "reuse"
        batch.reuse = Reuse.model_validate_json(reuse) if reuse else None
    except ValidationError as error:
        log.error("stored options cannot be read", batch_id=str(batch.batch_id), error=str(error)[:300])
        batch.paused = True
    else:
        batch.unreadable = ""
    return batch
