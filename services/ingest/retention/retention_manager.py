"""Shows and changes the rules of the retention."""

from collections.abc import Mapping

import structlog

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.retention import EVERY, Retention, RetentionRules
from services.ingest.persistence.audit_log import record_in
from services.ingest.persistence.deletion_store import DeletionStore

log = structlog.get_logger()
MAX_RULES = 10_000
_TOO_MANY = Rejection(
    "too_many_rules", f"There are {MAX_RULES} rules, which is the limit. Clear those that are not needed.", 409
)


class RetentionManager:
    """Operations on the rules."""

    def __init__(self, store: DeletionStore, defaults: Retention) -> None:
        self._store, self._defaults = store, defaults

    async def rules(self) -> RetentionRules:
        """Return all rules, with the defaults."""
        return await self._store.rules(self._defaults)

    async def change(self, owner: str, workload: str, changes: Mapping[str, float | None]) -> RetentionRules:
        """Set the days of some kinds for an owner and a workload; None takes them back. Raises `IngestError`."""
        async with self._store.change_rule(owner, workload) as rule:
            before = await rule.days()
            after = {kind: days for kind, days in {**before, **changes}.items() if days is not None}
            if after and not before and await rule.count() >= MAX_RULES:
                raise IngestError(_TOO_MANY)
            await rule.set(after)
            object_ = owner if workload == EVERY else workload
            await record_in(rule.connection, "retention.set", owner, object_, before=before, after=after)
        log.info("retention changed", owner=owner, workload=workload, days=after)
        return await self.rules()
