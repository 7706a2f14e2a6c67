"""Items as the lines of a file: what every format gives."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from services.ingest.domain.fault import Fault
from services.ingest.domain.limits import MAX_ITEM_BYTES

MAX_LINE_BYTES = MAX_ITEM_BYTES + 1024
"""A line may hold a custom id and some spaces beside the largest payload."""
LONG_LINE = Fault("item_too_large", f"A line has more than {MAX_LINE_BYTES} bytes. Pass an address of the data.", 413)


class Row(NamedTuple):
    """An item before any check of its content. `raw` is the payload as JSON."""

    line: int
    payload: Any
    raw: bytes
    custom_id: str | None


class Reader(Protocol):
    """Turns the pieces of a body into rows; holds one unfinished line and no more. After a fault nothing follows."""

    def feed(self, chunk: bytes) -> Iterator[Row | Fault]:
        """The rows that this piece completes."""
        ...

    def end(self) -> Iterator[Row | Fault]:
        """The rows that the end of the body completes."""
        ...


class Lines:
    """Cuts pieces of a body into lines."""

    def __init__(self) -> None:
        self._rest = b""
        self.number = 0
        """Of the line given last, counted from 1."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that this piece completes, without their ends."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self.number += 1
            yield line

    def end(self) -> Iterator[bytes]:
        """The last line, when it has no end."""
        if self._rest:
            self.number += 1
            yield self._rest
            self._rest = b""

    @property
    def too_long(self) -> Fault | None:
        """A fault when the unfinished line is over the limit already."""
        return LONG_LINE.at(self.number + 1) if len(self._rest) > MAX_LINE_BYTES else None
