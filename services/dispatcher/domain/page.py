"""A page of items as the dispatcher needs it: each item stays the line of JSON in which it arrived.

Reads the same JSON as the contract's `ItemsPage`. Ingest writes items as lines that can be stored; pages written in
another way are read by that model and rewritten.
"""

import re
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import msgspec

from batchyard_contracts.v1.flow import ItemsPage
from services.dispatcher.domain.item_line import line_of
from shared.messaging.fast_readers import RawPage

_is_line = re.compile(rb'\{"ordinal":(?:0|[1-9][0-9]{0,7}),"payload":').match


_decoder = msgspec.json.Decoder(RawPage)


@dataclass(frozen=True, slots=True)
class Segment:
    """The items of a page for one partition, each as a line."""

    partition: str
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of items of one batch."""

    type: ClassVar[str] = ItemsPage.type
    batch_id: UUID
    page: int
    segments: list[Segment]

    @classmethod
    def decode(cls, body: bytes) -> "Page":
        """Read a body; raises `pydantic.ValidationError` if it is no page."""
        try:
            if not body.isascii():
                body.decode()
            page = _decoder.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):  # the contract accepts more, or reports the error
            return cls.of(ItemsPage.decode(body))
        segments = [Segment(s.partition, list(map(bytes, s.items))) for s in page.segments]
        if b"\n" in body or not all(_is_line(line) for s in segments for line in s.lines):
            return cls.of(ItemsPage.decode(body))
        return cls(page.batch_id, page.page, segments)

    @classmethod
    def of(cls, message: ItemsPage) -> "Page":
        """Return the page of a contract message."""
        segments = [Segment(s.partition, list(map(line_of, s.items))) for s in message.segments]
        return cls(message.batch_id, message.page, segments)
