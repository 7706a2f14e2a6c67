"""A page of items as the dispatcher needs it: each item stays the line of JSON in which it arrived.

Reads the same JSON as the contract's `ItemsPage`. Ingest writes items as lines that can be stored; pages written in
another way are read by that model and rewritten.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import msgspec

from batchyard_contracts.v1.flow import BatchAccepted, ItemsPage
from batchyard_contracts.v1.flow import Segment as ItemSegment
from services.dispatcher.domain.item_line import line_of
from shared.messaging.fast_readers import RawAcceptedItems, RawPage, RawSegment

MAX_SEGMENTS = 1000
"""Segments that are saved and queued in one step; a page may have as many by itself."""
_is_line = re.compile(rb'\{"ordinal":(?:0|[1-9][0-9]{0,7}),"payload":').match
_decoder = msgspec.json.Decoder(RawPage)
_items_decoder = msgspec.json.Decoder(RawAcceptedItems)


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
            page = _decoder.decode(_checked(body))
        except (msgspec.MsgspecError, ValueError, RecursionError):  # the contract accepts more, or reports the error
            return cls.of(ItemsPage.decode(body))
        if (segments := _raw_segments(body, page.segments)) is None:
            return cls.of(ItemsPage.decode(body))
        return cls(page.batch_id, page.page, segments)

    @classmethod
    def of_accepted(cls, header: BatchAccepted, body: bytes) -> "Page":
        """Return the page in the message that announces its batch; `body` is that message in JSON."""
        try:
            segments = _raw_segments(body, _items_decoder.decode(_checked(body)).segments or [])
        except (msgspec.MsgspecError, ValueError, RecursionError):  # the contract, which accepts more, has read it
            segments = None
        if segments is None:
            segments = [_segment_of(segment) for segment in header.segments or []]
        return cls(header.batch_id, 0, segments)

    @classmethod
    def of(cls, message: ItemsPage) -> "Page":
        """Return the page of a contract message."""
        return cls(message.batch_id, message.page, [_segment_of(segment) for segment in message.segments])


def groups_of_pages(pages: Sequence[Page]) -> Iterator[list[Page]]:
    """Yield pages in groups of about `MAX_SEGMENTS` segments, in their order."""
    group: list[Page] = []
    count = 0
    for page in pages:
        if group and count + len(page.segments) > MAX_SEGMENTS:
            yield group
            group, count = [], 0
        group.append(page)
        count += len(page.segments)
    if group:
        yield group


def _checked(body: bytes) -> bytes:
    """Return a body in UTF-8; raises `ValueError` otherwise."""
    if not body.isascii():
        body.decode()
    return body


def _raw_segments(body: bytes, segments: Sequence[RawSegment]) -> list[Segment] | None:
    """Return segments with the lines of their items; None if not every item is a line that can be stored."""
    found = [Segment(s.partition, list(map(bytes, s.items))) for s in segments]
    return None if b"\n" in body or not all(_is_line(line) for s in found for line in s.lines) else found


def _segment_of(segment: ItemSegment) -> Segment:
    return Segment(segment.partition, list(map(line_of, segment.items)))
