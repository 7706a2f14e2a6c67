"""Passes on that known results are to be forgotten, with what a worker has to know of the workload for it."""

from collections.abc import Callable
from datetime import datetime

import structlog

from batchyard_contracts.topology import FLOW
from batchyard_contracts.v1.commands import CacheInvalidate, ControlAccepted
from batchyard_contracts.v1.flow import CacheInvalidated
from services.ingest.domain.refused import Refused
from services.ingest.persistence.workload_registry import Registry
from services.ingest.submission.submit import BUSY
from shared.messaging.publisher import Publisher, outgoing
from shared.runtime.errors import PublishFailed

log = structlog.get_logger()


class Invalidation:
    """The reply comes when the broker has the order: a worker will follow it, also one that starts later."""

    def __init__(self, registry: Registry, publisher: Publisher, clock: Callable[[], datetime]) -> None:
        self._registry, self._publisher, self._clock = registry, publisher, clock

    async def invalidate(self, command: CacheInvalidate) -> ControlAccepted:
        """Forget one result or all of a workload; raises `Refused`. What runs now is not kept when it is done."""
        manifest = (await self._registry.get(command.workload)).manifest
        order = CacheInvalidated(
            workload=manifest.name,
            version=manifest.version,
            dedup=manifest.dedup,
            cache_ttl_s=manifest.cache_ttl_s,
            payload=command.payload,
            at=self._clock(),
        )
        try:
            await self._publisher.publish([outgoing(FLOW, order)])
        except PublishFailed as error:
            raise Refused(BUSY) from error
        log.info("cache invalidated", workload=manifest.name, all=command.payload is None)
        return ControlAccepted(at=order.at)
