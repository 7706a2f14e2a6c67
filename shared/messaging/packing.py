"""Packs parts of any size, such as the outcomes of items, into as few messages as their limits permit."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from batchyard_contracts.message import MAX_MESSAGE_BYTES

MAX_PARTS = 1000
"""Largest number of parts of one message."""
PartT = TypeVar("PartT")


def pack(parts: Sequence[PartT], encode: Callable[[Sequence[PartT]], bytes]) -> Iterator[bytes]:
    """Yield the bodies of messages that have all parts in order, none over the limit of a message.

    `encode` returns the body of the message with some of the parts. A single part over the limit gets a message of its
    own, which the publisher or the outbox refuses.
    """
    for start in range(0, len(parts), MAX_PARTS):
        yield from _halve(parts[start : start + MAX_PARTS], encode)


def _halve(parts: Sequence[PartT], encode: Callable[[Sequence[PartT]], bytes]) -> Iterator[bytes]:
    body = encode(parts)
    if len(body) <= MAX_MESSAGE_BYTES or len(parts) == 1:
        yield body
        return
    middle = len(parts) // 2
    yield from _halve(parts[:middle], encode)
    yield from _halve(parts[middle:], encode)
