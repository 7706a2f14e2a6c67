"""Forwards requests to invalidate cached results, with the cache settings of the workload that a worker needs."""

from collections.abc import Callable
from datetime import datetime

import structlog

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.topology import FLOW
from batchyard_contracts.v1.commands import CacheInvalidate, ControlAccepted
from batchyard_contracts.v1.flow import CacheInvalidated
from services.ingest.domain.ingest_error import IngestError, too_large
from services.ingest.persistence.audit_log import AuditLog, current_actor
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.submission.submit import BACKLOG_FULL
from shared.messaging.publisher import Publisher, outgoing
from shared.runtime.errors import PublishFailed

log = structlog.get_logger()


class CacheInvalidator:
    """Publishes cache invalidations. The reply is sent once the broker has the message, so that a worker that starts
    later acts on it too."""

    def __init__(
        self, registry: WorkloadRegistry, publisher: Publisher, audit: AuditLog, clock: Callable[[], datetime]
    ) -> None:
        self._registry, self._publisher, self._audit, self._clock = registry, publisher, audit, clock

    async def invalidate(self, command: CacheInvalidate) -> ControlAccepted:
        """Invalidate one cached result, or all of a workload; raises `IngestError`. Results of running items are not
        cached either."""
        manifest = (await self._registry.get(command.workload)).manifest
        message = CacheInvalidated(
            workload=manifest.name,
            version=manifest.version,
            dedup=manifest.dedup,
            cache_ttl_s=manifest.cache_ttl_s,
            payload=command.payload,
            at=self._clock(),
        )
        sent = outgoing(FLOW, message)
        if len(sent.body) > MAX_MESSAGE_BYTES:
            raise IngestError(too_large(len(sent.body)))
        after = {"all": command.payload is None}
        await self._audit.record("cache.invalidate", current_actor().owner, manifest.name, after)
        try:
            await self._publisher.publish([sent])
        except PublishFailed as error:
            raise IngestError(BACKLOG_FULL) from error
        log.info("cache invalidated", workload=manifest.name, all=command.payload is None)
        return ControlAccepted(at=message.at)
