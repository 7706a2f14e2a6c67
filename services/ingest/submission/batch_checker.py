"""Checks a submission by the rules for batches, and stores nothing."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from batchyard_contracts.v1.commands import BatchSubmit
from services.ingest.domain.check_result import CheckResult, known_properties
from services.ingest.domain.command_validation import terms_of, validate_batch_id, validate_terms
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.item import validate_item, validate_item_of_command, validate_source
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.remote_file import NO_REMOTE_FILES, RemoteFileRules
from services.ingest.domain.volume import Volume
from services.ingest.limits.limit_keeper import LimitKeeper
from services.ingest.persistence.notifier_registry import NotifierRegistry
from services.ingest.persistence.workload_registry import RegisteredWorkload, WorkloadRegistry, check_ready
from services.ingest.submission.backpressure import Backpressure
from services.ingest.submission.item_file import ItemFile
from services.ingest.submission.submit import NO_ITEMS, check_dedup, no_source

_CHECKING_S = 60.0
"""Longest time in seconds for which a file is read."""


class BatchChecker:
    """Checker of submissions."""

    def __init__(
        self,
        registry: WorkloadRegistry,
        notifier: NotifierRegistry,
        backpressure: Backpressure,
        limits: LimitKeeper,
        clock: Callable[[], datetime],
        remote_rules: RemoteFileRules = NO_REMOTE_FILES,
    ) -> None:
        self._registry, self._notifier = registry, notifier
        self._backpressure, self._limits, self._clock = backpressure, limits, clock
        self._remote_rules = remote_rules

    async def check(self, owner: str, command: BatchSubmit) -> CheckResult:
        """Check a command; raises `IngestError` when the workload is not known."""
        workload = await self._registry.get(command.workload)
        result = _begin(workload)
        if command.source is not None:
            result.items = 1
            _check_source(result, workload, command.source)
        elif command.items_from is not None:
            if refusal := self._remote_rules.refusal(owner, command.items_from):
                result.problems.append(refusal)
        elif command.sealed and not command.items:
            result.problems.append(NO_ITEMS)
        for place, item in enumerate(command.items):
            has_room = result.rejections.has_room
            one = validate_item_of_command(workload.validator, place, item, place, explain=has_room)
            result.add(one, item.payload)
        self._check_batch(result, owner, command, workload)
        return result

    async def check_upload(self, owner: str, file: ItemFile) -> CheckResult:
        """Check the items of a file, as far as they can be read within a minute; raises `IngestError`."""
        workload = await self._registry.get(file.command.workload)
        result = _begin(workload)
        with self._limits.upload(owner):
            await _read(result, workload, file)
        if not result.items and not result.rejections.count:
            result.problems.append(NO_ITEMS)
        self._check_batch(result, owner, file.command, workload)
        return result

    def _check_batch(self, result: CheckResult, owner: str, command: BatchSubmit, workload: RegisteredWorkload) -> None:
        """Add what stands against the batch as a whole."""
        now = self._clock()
        checks: tuple[Callable[[], None], ...] = (
            lambda: check_ready(workload),
            lambda: self._notifier.check(command.notify),
            lambda: check_dedup(command, workload),
            lambda: self._backpressure.check(owner, Volume(result.items, result.size)),
        )
        for check in checks:
            try:
                check()
            except IngestError as error:
                result.problems.append(error.rejection)
        found = (
            workload.validator.check_count(result.items),
            validate_terms(terms_of(command), now),
            validate_batch_id(command.batch_id, now),
        )
        result.problems += [rejection for rejection in found if rejection is not None]


def _begin(workload: RegisteredWorkload) -> CheckResult:
    return CheckResult(known_properties(workload.manifest.item_schema))


def _check_source(result: CheckResult, workload: RegisteredWorkload, source: Any) -> None:
    if not workload.validator.has_source_schema:
        result.problems.append(no_source(workload.manifest.name))
    elif isinstance(found := validate_source(workload.validator, source), Rejection):
        result.rejections.add(found.below("/source"))


async def _read(result: CheckResult, workload: RegisteredWorkload, file: ItemFile) -> None:
    stop_at = time.monotonic() + _CHECKING_S
    async for rows in file.rows(workload):
        for row in rows:
            if isinstance(row, Rejection):
                result.add(row, None)
                if row.is_final:
                    return
            else:
                item = validate_item(
                    workload.validator, result.items, row.payload, row.raw, row.custom_id,
                    explain=result.rejections.has_room,
                )  # fmt: skip
                result.add(item.at(row.line) if isinstance(item, Rejection) else item, row.payload)
        if time.monotonic() > stop_at or workload.validator.check_count(result.items):
            result.rejections.is_cut = True
            return
