"""Does periodic maintenance: renews leases of uploads, stops idle batches, reloads the registries, deletes old
commands, message ids, keys, runs of schedules, actions on many batches and entries of the audit."""

from datetime import timedelta
from typing import ClassVar

from services.ingest.identity.key_manager import KeyManager
from services.ingest.maintenance.idle_batches import IdleBatchStopper
from services.ingest.persistence.audit_log import AuditLog
from services.ingest.persistence.bulk_store import BulkStore
from services.ingest.persistence.notifier_registry import NotifierRegistry
from services.ingest.persistence.schedule_store import ScheduleStore
from services.ingest.persistence.store import BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.submission.upload_service import UploadService

_ROUNDS_AN_HOUR = 1800
_DELETE_AUDIT_ROUNDS = 5


class Housekeeping:
    """Small tasks that are due every `INTERVAL_S` seconds. When one fails, all are tried again."""

    INTERVAL_S: ClassVar[float] = 2.0

    def __init__(
        self,
        uploads: UploadService,
        idle_batch_stopper: IdleBatchStopper,
        registry: WorkloadRegistry,
        notifier: NotifierRegistry,
        store: BatchStore,
        keys: KeyManager,
        audit: AuditLog,
        schedules: ScheduleStore,
        bulk: BulkStore,
        *,
        run_age: timedelta,
        audit_age: timedelta,
        audit_entries: int,
    ) -> None:
        self._uploads = uploads
        self._idle_batch_stopper = idle_batch_stopper
        self._registry = registry
        self._notifier = notifier
        self._store = store
        self._keys = keys
        self._audit, self._audit_age, self._audit_entries = audit, audit_age, audit_entries
        self._schedules, self._run_age, self._bulk = schedules, run_age, bulk
        self._rounds = 0

    async def tidy(self) -> None:
        """Run all tasks once."""
        await self._uploads.renew_leases()
        await self._idle_batch_stopper.stop_idle()
        await self._registry.reload()
        await self._notifier.reload()
        if self._rounds % _DELETE_AUDIT_ROUNDS == 0:
            await self._audit.delete_old(self._audit_age, self._audit_entries)
            await self._schedules.delete_old_runs(self._run_age)
        if self._rounds % _ROUNDS_AN_HOUR == 0:
            await self._store.delete_old_controls()
            await self._store.forget_message_ids()
            await self._keys.delete_ended()
            await self._bulk.delete_old()
        self._rounds += 1
