"""Erases owners: all that is kept of their batches in all services, and what ingest keeps of themselves."""

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
import structlog

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.owner_limits import OwnerLimits
from services.ingest.domain.rejection import Rejection
from services.ingest.limits.limit_manager import LimitManager
from services.ingest.persistence.audit_log import ALL_OWNERS, record_in
from services.ingest.persistence.deletion_store import delete_batches
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.retention.shared_results import SharedResults
from shared.postgres.deletions import STATEMENT_S, LotSize
from shared.postgres.outbox import Outbox, OutboxMessage
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import load_queries

log = structlog.get_logger()
_SQL = load_queries("services.ingest.persistence", "erasure.sql")
_COUNT_CHANGE = load_queries("services.ingest.persistence", "identity.sql")["count_change"]
_NAMESPACE = uuid.UUID("6a7f9d0c-6f3b-4c0e-9f57-5f0f8f0f6f1e")
_TABLES = (
    "follow_ups",
    "schedules",
    "templates",
    "batch_actions",
    "api_keys",
    "owner_limits",
    "retention_rules",
    "audit",
)
_ERASED = "*erased*"
"""Name in place of that of an owner, in rows that outlive it. No owner can have it."""
_MOST_BATCHES, _MOST_ROWS, _MOST_AT_A_TIME = 200, 2000, 20
_PAUSE_S = 0.1
_UNFINISHED = Rejection(
    "owner_busy", "The owner has batches that have not ended. Cancel them, and wait until they have ended.", 409
)
_NOT_ERASED = Rejection("erasure_not_found", "Nobody has asked for the erasure of this owner.", 404)
Deleted = dict[str, dict[str, int]]
"""Numbers of deleted rows, by service and table."""


class OwnerEraser:
    """Carries erasures out, step by step. Each may be repeated and interrupted: it is recorded, without the name of the
    owner once it has ended."""

    INTERVAL_S: ClassVar[float] = 5.0

    def __init__(
        self,
        pool: Pool,
        outbox: Outbox,
        limits: LimitManager,
        shared_results: SharedResults,
        registry: WorkloadRegistry,
    ) -> None:
        self._pool, self._outbox, self._limits = pool, outbox, limits
        self._shared_results, self._registry = shared_results, registry
        self._lot = LotSize(_MOST_ROWS)

    async def request(self, owner: str, reason: str) -> dict[str, Any]:
        """Begin to erase an owner without unfinished batches, and revoke its keys; raises `IngestError`."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(_SQL["lock_owner"], owner)
            if await connection.fetchval(_SQL["has_unfinished"], owner):
                raise IngestError(_UNFINISHED)
            await connection.execute(_SQL["request_erasure"], erasure_id(owner), owner)
            await connection.execute(_SQL["pause_schedules"], owner)
            await connection.execute(_SQL["revoke_keys"], owner)
            await connection.execute(_COUNT_CHANGE)
            await record_in(connection, "owner.erase", ALL_OWNERS, str(erasure_id(owner)), after={"reason": reason})
        await self._limits.change(owner, dict.fromkeys(OwnerLimits.model_fields))
        log.warning("erasure of an owner requested", id=str(erasure_id(owner)))
        return await self.show(owner)

    async def show(self, owner: str) -> dict[str, Any]:
        """Return the erasure of an owner; raises `IngestError`."""
        row = await self._pool.fetchrow(_SQL["get_erasure"], erasure_id(owner))
        if row is None:
            raise IngestError(_NOT_ERASED)
        return {**row, "deleted": orjson.loads(row["deleted"])}

    async def step(self) -> float | None:
        """Carry one erasure on by a lot; return a pause if there is more to do at once."""
        posted: list[OutboxMessage] = []
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                for row in await connection.fetch(_SQL["open_erasures"], _MOST_AT_A_TIME):
                    posted = await self._delete_batches(connection, row["owner"])
                    if posted or await self._erase(connection, row["id"], row["owner"], orjson.loads(row["deleted"])):
                        break
                else:
                    return None
        except TimeoutError:
            self._lot.shrink()
            raise
        self._lot.grow()
        await self._outbox.deliver(posted)
        return _PAUSE_S

    async def _delete_batches(self, connection: PooledConnection, owner: str) -> list[OutboxMessage]:
        rows = await connection.fetch(_SQL["ended_of_owner"], owner, _MOST_BATCHES)
        return await delete_batches(connection, [row["batch_id"] for row in rows], "erasure") if rows else []

    async def _erase(self, connection: PooledConnection, id_: uuid.UUID, owner: str, deleted: Deleted) -> bool:
        """Erase a lot of what is left of an owner; False if the deletion of its batches or exports, or Redis, is to be
        waited for."""
        if await connection.fetchval(_SQL["has_batches"], owner):
            return False
        if sums := await connection.fetch(_SQL["sum_deletions"], owner, _MOST_BATCHES, _ERASED):
            for row in sums:
                _add(deleted, row["service"], {row["part"]: row["number"]})
            await connection.execute(_SQL["record_erased"], id_, orjson.dumps(deleted).decode())
            return True
        rest = await connection.execute(_SQL["erase_batches"], owner, self._lot.rows, _ERASED, timeout=STATEMENT_S)
        if _rows(rest):
            return True
        for table in _TABLES:
            tag = await connection.execute(_SQL[f"erase_{table}"], owner, self._lot.rows, timeout=STATEMENT_S)
            if rows := _rows(tag):
                _add(deleted, "ingest", {table: rows})
                await connection.execute(_SQL["record_erased"], id_, orjson.dumps(deleted).decode())
                return True
        names = [workload.manifest.name for workload in self._registry.all()]
        results = await self._shared_results.delete(owner, names)
        if results is None:
            log.warning("an erasure waits for Redis", id=str(id_))
            return False
        if results:
            _add(deleted, "worker", {"shared_results": results})
            await connection.execute(_SQL["record_erased"], id_, orjson.dumps(deleted).decode())
        await connection.execute(_SQL["end_erasure"], id_)
        log.warning("owner erased", id=str(id_), deleted=deleted)
        return True


def erasure_id(owner: str) -> uuid.UUID:
    """Return the id of the erasure of an owner, from which nobody can tell the name."""
    return uuid.uuid5(_NAMESPACE, owner)


def _add(deleted: Deleted, service: str, numbers: Mapping[str, int]) -> None:
    of_service = deleted.setdefault(service, {})
    for table, number in numbers.items():
        of_service[table] = of_service.get(table, 0) + number


def _rows(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
