"""Reports deleted batches, so that ingest knows what each service has deleted."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from batchyard_contracts.topology import FLOW
from batchyard_contracts.v1.flow import DeletionCompleted
from batchyard_contracts.v1.values import Deleter
from shared.messaging.publisher import Publisher, outgoing
from shared.postgres.deletions import Deletion


def report_of_batches(publisher: Publisher, service: Deleter) -> Callable[[Deletion], Awaitable[None]]:
    """Return the function by which a service reports whole batches. Deleted parts of a batch are not reported."""

    async def report(deletion: Deletion) -> None:
        if deletion.plan == "batch":
            message = DeletionCompleted(
                batch_id=deletion.key,
                kind="batch",
                service=service,
                deleted=dict(deletion.deleted),
                at=datetime.now(UTC),
            )
            await publisher.publish([outgoing(FLOW, message)])

    return report
