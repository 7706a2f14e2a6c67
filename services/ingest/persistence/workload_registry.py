"""The workloads that workers announced: kept in PostgreSQL for all ingest processes, in memory for the fast path."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

import structlog

from batchyard_contracts.v1.flow import WorkerAnnounced
from batchyard_contracts.v1.manifest import Manifest
from services.ingest.domain.fault import Fault
from services.ingest.domain.item_validator import Rules
from services.ingest.domain.refused import Refused
from shared.postgres.pool import Pool
from shared.postgres.queries import load_queries
from shared.runtime.errors import Rejected

log = structlog.get_logger()
_SQL = load_queries("services.ingest.persistence")
_RELOAD_S = 0.5
"""How often, at the most, a name that nobody knows makes the table be read."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A workload as it was announced last, with its compiled rules."""

    manifest: Manifest
    rules: Rules
    at: datetime
    text: str


def check_ready(announced: Announced) -> None:
    """Raises `Refused` when the workers of a workload lack a setting that it needs."""
    if reason := announced.manifest.unavailable:
        name = announced.manifest.name
        raise Refused(Fault("workload_unavailable", f"{name!r} cannot run at present. {reason}", 409))


class Registry:
    """Finds workloads by name."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[str, Announced] = {}
        self._unreadable: set[str] = set()
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def get(self, name: str) -> Announced:
        """The workload of this name; raises `Refused` when no worker has announced it."""
        found = self._known.get(name)
        if found is None and time.monotonic() - self._read_at > _RELOAD_S:
            await self.reload()
            found = self._known.get(name)
        if found is None:
            known = ", ".join(sorted(self._known)) or "none yet: start a worker"
            raise Refused(Fault("unknown_workload", f"No worker has announced {name!r}. Known: {known}."))
        return found

    async def ready(self, name: str) -> Announced:
        """The same; raises `Refused` too when its workers lack a setting that it needs."""
        found = await self.get(name)
        check_ready(found)
        return found

    def all(self) -> list[Announced]:
        """Every workload, by name."""
        return [self._known[name] for name in sorted(self._known)]

    async def reload(self) -> None:
        """Read what other processes were told."""
        async with self._reading:
            rows = await self._pool.fetch(_SQL["get_workloads"])
            self._read_at = time.monotonic()
            for row in rows:
                known = self._known.get(row["name"])
                if known is None or (known.text != row["manifest"] and known.at <= row["announced_at"]):
                    self._learn(row["name"], row["manifest"], row["announced_at"])

    async def announce(self, message: WorkerAnnounced) -> None:
        """Record what a worker can do; the newest announcement counts. Raises `Rejected` on a bad schema."""
        for manifest in message.manifests:
            try:
                Rules(manifest)
            except ValueError as error:
                raise Rejected(str(error)) from error
        async with self._pool.acquire() as connection, connection.transaction():
            for manifest in sorted(message.manifests, key=lambda each: each.name):
                await connection.execute(
                    _SQL["announce"],
                    manifest.name,
                    manifest.version,
                    manifest.model_dump_json(exclude_none=True),
                    message.worker_id,
                    message.started_at,
                )
        await self.reload()

    def _learn(self, name: str, text: str, at: datetime) -> None:
        try:
            manifest = Manifest.model_validate_json(text)
            self._known[name] = Announced(manifest, Rules(manifest), at, text)
        except ValueError as error:  # written by another version of this service
            if name not in self._unreadable:
                log.error("workload unreadable", workload=name, error=str(error)[:500])
            self._unreadable.add(name)
            return
        self._unreadable.discard(name)
        log.info("workload known", workload=name, version=manifest.version)
