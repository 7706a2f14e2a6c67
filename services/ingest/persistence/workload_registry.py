"""Registry of the workloads that workers announced: in PostgreSQL for all ingest processes, in memory for lookups."""

import time
from dataclasses import dataclass
from datetime import datetime

import structlog

from batchyard_contracts.v1.flow import WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.item_validator import ItemValidator
from services.ingest.domain.question_validator import QuestionValidator
from services.ingest.domain.rejection import Rejection
from shared.postgres.pool import Pool, PooledConnection
from shared.postgres.queries import load_queries
from shared.runtime.errors import MessageRejected

log = structlog.get_logger()
_SQL = load_queries("services.ingest.persistence")
_MIN_RELOAD_INTERVAL_S = 0.5
"""Shortest interval in seconds at which unknown names make the registry read its table."""


@dataclass(frozen=True, slots=True)
class RegisteredWorkload:
    """Latest announcement of a workload, with its compiled validators."""

    manifest: Manifest
    validator: ItemValidator
    questions: QuestionValidator
    announced_at: datetime
    manifest_json: str


def check_ready(workload: RegisteredWorkload) -> None:
    """Raise `IngestError` when the workers of a workload lack a required setting."""
    if reason := workload.manifest.unavailable:
        name = workload.manifest.name
        raise IngestError(Rejection("workload_unavailable", f"{name!r} is not available. {reason}", 409))


class WorkloadRegistry:
    """Workloads by name."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._workloads: dict[str, RegisteredWorkload] = {}
        self._unreadable: set[str] = set()
        self._reloaded_at = 0.0

    async def get(self, name: str, connection: PooledConnection | None = None) -> RegisteredWorkload:
        """Return a workload; raises `IngestError` when no worker has announced it.

        Within a transaction, pass its connection: to wait there for another one may be to wait for ever.
        """
        workload = self._workloads.get(name)
        if workload is None and time.monotonic() - self._reloaded_at > _MIN_RELOAD_INTERVAL_S:
            await self.reload(connection)
            workload = self._workloads.get(name)
        if workload is None:
            known = ", ".join(sorted(self._workloads)) or "none; start a worker"
            raise IngestError(Rejection("unknown_workload", f"No worker has announced {name!r}. Known: {known}."))
        return workload

    def all(self) -> list[RegisteredWorkload]:
        """Return every workload, by name."""
        return [self._workloads[name] for name in sorted(self._workloads)]

    async def reload(self, connection: PooledConnection | None = None) -> None:
        """Read the workloads that other processes registered."""
        rows = await (connection or self._pool).fetch(_SQL["get_workloads"])
        self._reloaded_at = time.monotonic()
        for row in rows:
            current = self._workloads.get(row["name"])
            if current is None or current.manifest_json != row["manifest"]:
                self._load(row["name"], row["manifest"], row["announced_at"])

    async def register(self, message: WorkerAnnounced, *, redelivered: bool = False) -> None:
        """Record the workloads of a worker. The last announcement to arrive counts, whatever the workers' clocks say.

        Raises `MessageRejected` on an invalid schema.
        """
        for manifest in message.manifests:
            try:
                ItemValidator(manifest)
                QuestionValidator(manifest)
            except ValueError as error:
                raise MessageRejected(str(error)) from error
        async with self._pool.acquire() as connection, connection.transaction():
            for manifest in sorted(message.manifests, key=lambda each: each.name):
                await connection.execute(
                    _SQL["register_workload"],
                    manifest.name,
                    manifest.version,
                    manifest.model_dump_json(exclude_none=True),
                    message.worker_id,
                    message.started_at,
                    redelivered,
                )
        await self.reload()

    def _load(self, name: str, manifest_json: str, announced_at: datetime) -> None:
        try:
            manifest = Manifest.model_validate_json(manifest_json)
            self._workloads[name] = RegisteredWorkload(
                manifest, ItemValidator(manifest), QuestionValidator(manifest), announced_at, manifest_json
            )
        except ValueError as error:  # written by another version of this service
            if name not in self._unreadable:
                log.error("workload unreadable", workload=name, error=str(error)[:500])
            self._unreadable.add(name)
            return
        self._unreadable.discard(name)
        log.info("workload registered", workload=name, version=manifest.version)
