"""A page of items as the dispatcher needs it: each item stays the line of JSON that it came as.

Reads the same JSON as the contract's `ItemsPage`. Ingest writes items as lines that can be kept; what another hand
wrote in its own way is read by that model, and written anew.
"""

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec

from batchyard_contracts.v1.flow import ItemsPage
from services.dispatcher.codecs.item import line_of

_is_line = re.compile(rb'\{"ordinal":(?:0|[1-9][0-9]{0,7}),"payload":').match
_Workload = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9-]{0,47}\Z")]


class _Segment(msgspec.Struct):
    partition: str
    items: list[msgspec.Raw]


class _Page(msgspec.Struct):
    batch_id: UUID
    workload: _Workload
    page: Annotated[int, msgspec.Meta(ge=0)]
    segments: list[_Segment]


_decoder = msgspec.json.Decoder(_Page)


@dataclass(frozen=True, slots=True)
class Segment:
    """The items of a page that go to one partition, each as a line."""

    partition: str
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class Page:
    """Some items of a batch."""

    type: ClassVar[str] = ItemsPage.type
    batch_id: UUID
    page: int
    segments: list[Segment]

    @classmethod
    def decode(cls, body: bytes) -> "Page":
        """Read a body; raises `pydantic.ValidationError` when it is no page."""
        try:
            if not body.isascii():
                body.decode()
            page = _decoder.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):  # the contract reads more, or says what is wrong
            return cls.of(ItemsPage.decode(body))
        segments = [Segment(s.partition, list(map(bytes, s.items))) for s in page.segments]
        if b"\n" in body or not all(_is_line(line) for s in segments for line in s.lines):
            return cls.of(ItemsPage.decode(body))
        return cls(page.batch_id, page.page, segments)

    @classmethod
    def of(cls, message: ItemsPage) -> "Page":
        """A page that was read as the contract has it."""
        segments = [Segment(s.partition, list(map(line_of, s.items))) for s in message.segments]
        return cls(message.batch_id, message.page, segments)
