"""A batch that travels with its items: its header, and its only page with each item as the line in which it arrived."""

from dataclasses import dataclass
from typing import ClassVar

from batchyard_contracts.v1.flow import BatchAccepted
from services.dispatcher.domain.page import Page


@dataclass(frozen=True, slots=True)
class AcceptedBatch:
    """A header with page 0, which has all items of the batch that are to run."""

    type: ClassVar[str] = BatchAccepted.type
    header: BatchAccepted
    page: Page

    @classmethod
    def decode(cls, body: bytes) -> "AcceptedBatch":
        """Read a body; raises `pydantic.ValidationError` if it is no header."""
        header = BatchAccepted.decode(body)
        return cls(header, Page.of_accepted(header, body))
