"""Estimates the end that a batch would have: counts its items by destination, and asks the dispatcher. Nothing is
stored."""

import heapq
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.queries import MAX_ESTIMATED_PARTITIONS, EstimateQuery, EstimateReply, PartitionItems
from batchyard_contracts.v1.values import Terms
from services.ingest.domain.command_validation import validate_terms
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.item import validate_item, validate_items
from services.ingest.domain.rejection import Rejection
from services.ingest.persistence.workload_registry import RegisteredWorkload, WorkloadRegistry, check_ready
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.submission.item_file import ItemFile
from services.ingest.submission.submit import NO_ITEMS

_MAX_PARTITIONS = 10_000
"""Destinations that are counted one by one; items of further ones are counted together."""
_NO_SOURCE = Rejection(
    "invalid_command", "Items are estimated here. A batch with a `source` is estimated by its worker: submit it."
)


class EstimateService:
    """Estimates of batches that are not submitted."""

    def __init__(self, registry: WorkloadRegistry, aggregator: AggregatorClient, clock: Callable[[], datetime]) -> None:
        self._registry, self._aggregator, self._clock = registry, aggregator, clock

    async def estimate(self, owner: str, command: BatchSubmit) -> EstimateReply:
        """Return the estimate of a command with its items; raises `IngestError`."""
        workload = await self._workload(command)
        items = workload.validator.check_count(len(command.items)) or validate_items(
            workload.validator, command.items, first=0
        )
        if isinstance(items, Rejection):
            raise IngestError(items)
        return await self._ask(owner, command, Counter(item.partition for item in items))

    async def estimate_upload(self, owner: str, file: ItemFile) -> EstimateReply:
        """Return the estimate of a file of items; raises `IngestError` for the first invalid one, or for too many."""
        workload = await self._workload(file.command)
        counts: Counter[str] = Counter()
        number = 0
        async for rows in file.rows(workload):
            for row in rows:
                if isinstance(row, Rejection):
                    raise IngestError(row)
                item = validate_item(workload.validator, number, row.payload, row.raw, row.custom_id)
                if isinstance(item, Rejection):
                    raise IngestError(item.at(row.line))
                number += 1
                known = item.partition in counts or len(counts) < _MAX_PARTITIONS
                counts[item.partition if known else ""] += 1
            if rejection := workload.validator.check_count(number):
                raise IngestError(rejection)
        return await self._ask(owner, file.command, counts)

    async def _workload(self, command: BatchSubmit) -> RegisteredWorkload:
        if command.source is not None or command.items_from is not None:
            raise IngestError(_NO_SOURCE)
        if rejection := validate_terms(command, self._clock()):
            raise IngestError(rejection)
        workload = await self._registry.get(command.workload)
        check_ready(workload)
        return workload

    async def _ask(self, owner: str, command: BatchSubmit, counts: Counter[str]) -> EstimateReply:
        if not counts:
            raise IngestError(NO_ITEMS)
        largest = heapq.nlargest(MAX_ESTIMATED_PARTITIONS, counts.items(), key=lambda one: one[1])
        terms = {name: getattr(command, name) for name in Terms.model_fields}
        return await self._aggregator.estimate(
            EstimateQuery(
                owner=owner,
                workload=command.workload,
                priority=command.priority,
                terms=Terms(**terms),
                partitions=[PartitionItems(partition=name, items=count) for name, count in largest],
                other_items=counts.total() - sum(count for _, count in largest),
            )
        )
