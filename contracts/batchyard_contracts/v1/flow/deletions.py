"""Messages about the deletion of what is kept of a batch that has ended."""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from batchyard_contracts.message import Message
from batchyard_contracts.v1.values import BatchId, Count, DataKind, Deleter, Owner, Round, Time

TableName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,63}$")]


class DeletionRequested(Message):
    """Request of ingest to delete what a service keeps of a batch that has ended, and that can have no other round if
    `kind` is `batch`."""

    type: ClassVar[str] = "deletion.requested.v1"
    batch_id: BatchId
    owner: Owner
    round: Round
    """Latest round of the batch. If another one has begun since, only a deletion of `batch` is carried out."""
    kind: DataKind
    at: Time

    def routing_key(self) -> str:
        """Routing key by which only the services hear of it that have this kind."""
        return f"{self.kind}.{self.type}"


class DeletionCompleted(Message):
    """Report of a service that it has deleted what it kept of a batch."""

    type: ClassVar[str] = "deletion.completed.v1"
    batch_id: BatchId
    kind: DataKind
    service: Deleter
    deleted: Annotated[dict[TableName, Count], Field(max_length=50)] = {}
    """Numbers of deleted rows, by table."""
    at: Time
