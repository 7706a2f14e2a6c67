"""Checks the results of workers that do not check them themselves, each one, by the schema that they announced."""

import time
from collections.abc import Callable, Sequence

import orjson
import structlog

from batchyard_contracts.message import Envelope
from batchyard_contracts.v1.flow import ItemsSettled, WorkerAnnounced
from services.aggregator.domain.report import Report
from services.aggregator.domain.result_schema import ResultSchemas
from services.aggregator.handlers.large_results import LargeResults
from services.aggregator.persistence.schema_store import SchemaStore, StoredSchema

log = structlog.get_logger()
_KEPT_S = 5.0
"""Seconds after which the schemas are read again, because another process may have heard of a worker."""


class ResultCheck:
    """The schemas of workloads, read from the table. A workload that is not announced yet is not checked."""

    def __init__(
        self,
        store: SchemaStore,
        clock: Callable[[], float] = time.monotonic,
        large_results: LargeResults | None = None,
    ) -> None:
        self._store, self._clock = store, clock
        self._large_results = large_results or LargeResults(None)
        self._schemas: dict[str, ResultSchemas | None] = {}
        """By workload; None: its workers check their results, or its schema permits all."""
        self._texts: dict[str, tuple[StoredSchema, ...]] = {}
        self._read_at = -_KEPT_S

    async def on_worker_announced(self, message: WorkerAnnounced, _: Envelope) -> None:
        """Save the schemas of a worker that has started."""
        if message.manifests:
            await self._store.save(message.manifests)
            self._read_at = -_KEPT_S

    async def check(self, reports: Sequence[Report | ItemsSettled]) -> list[Report | ItemsSettled]:
        """Return the reports, with a failure in place of each result that does not fit its schema."""
        workloads = {report.workload for report in reports if isinstance(report, Report)}
        if self._clock() >= self._read_at + _KEPT_S or not workloads <= self._schemas.keys():
            await self._read()
            self._schemas |= dict.fromkeys(workloads - self._schemas.keys())
        return [
            schemas.check(await self._large_results.without_references(report))
            if isinstance(report, Report) and (schemas := self._schemas[report.workload])
            else report
            for report in reports
        ]

    async def _read(self) -> None:
        stored: dict[str, list[StoredSchema]] = {}
        for one in await self._store.load():
            stored.setdefault(one.workload, []).append(one)
        self._read_at = self._clock()
        for name, versions in stored.items():
            texts = tuple(sorted(versions))
            if self._texts.get(name) != texts:
                self._texts[name] = texts
                self._schemas[name] = _compile(name, texts)


def _compile(workload: str, versions: Sequence[StoredSchema]) -> ResultSchemas | None:
    """Return the schemas of a workload; None if all versions check their results, or one permits every result."""
    schemas = [orjson.loads(one.text) for one in versions]
    if all(one.checked for one in versions) or {} in schemas:
        return None
    try:
        return ResultSchemas(schemas, has_source=any(one.has_source for one in versions))
    except ValueError as error:
        log.warning("result schema is not usable", workload=workload, error=str(error)[:300])
        return None
