"""Messages about owners."""

from typing import Annotated, ClassVar

from pydantic import Field

from batchyard_contracts.message import Message
from batchyard_contracts.v1.values import Owner


class OwnerWeighted(Message):
    """Message of ingest that an operator has changed an owner's share of the workers."""

    type: ClassVar[str] = "owner.weighted.v1"
    owner: Owner
    weight: Annotated[float, Field(ge=0.01, le=1000, allow_inf_nan=False)] | None = None
    """Share among owners who compete for workers; None: that of the dispatcher's settings, or 1."""
    number: Annotated[int, Field(ge=1, le=2**53 - 1)]
    """Number of the change: a message with a smaller one for the same owner is out of date."""
