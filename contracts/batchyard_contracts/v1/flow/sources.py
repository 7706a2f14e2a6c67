"""Messages about the source of a batch, from which a worker finds its items."""

from typing import Annotated, ClassVar

from pydantic import Field

from batchyard_contracts.message import Message
from batchyard_contracts.v1.values import MAX_ITEMS_PER_COMMAND, BatchId, Count, NewItem, Owner, UnitCount


class SourceExpanded(Message):
    """Items that a worker found by the source of a batch, sent before its report on the source.

    `sequence` counts 0, 1, 2 … in a batch. A source runs again when its worker is lost, so that two messages may have
    one number: the first counts.
    """

    type: ClassVar[str] = "source.expanded.v1"
    batch_id: BatchId
    owner: Owner
    sequence: Count
    items: Annotated[list[NewItem], Field(max_length=MAX_ITEMS_PER_COMMAND)]
    last: bool
    """True: no more items follow."""
    units: UnitCount | None = None
    """Number of units of all items; set in the last message only."""


class SourceEnded(Message):
    """Message sent when the source of a batch did not succeed: no further items follow."""

    type: ClassVar[str] = "source.ended.v1"
    batch_id: BatchId
    owner: Owner
