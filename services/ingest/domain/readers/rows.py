"""Rows of uploaded files, common to all formats."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from services.ingest.domain.limits import MAX_ITEM_BYTES
from services.ingest.domain.rejection import Rejection

MAX_LINE_BYTES = MAX_ITEM_BYTES + 1024
"""Longest line: the largest payload with a custom id and some spaces."""
LINE_TOO_LONG = Rejection(
    "item_too_large",
    f"A line has more than {MAX_LINE_BYTES} bytes. Pass a reference to the data.",
    413,
    is_final=True,
)


class Row(NamedTuple):
    """An item that was parsed and not validated yet. `raw` is its payload as JSON."""

    line: int
    payload: Any
    raw: bytes
    custom_id: str | None


class Reader(Protocol):
    """Parses the chunks of a body into rows, and rejections of those that are wrong. Holds no more than one unfinished
    line; yields nothing after a rejection that is final."""

    def feed(self, chunk: bytes) -> Iterator[Row | Rejection]:
        """Yield the rows that a chunk completes."""
        ...

    def finish(self) -> Iterator[Row | Rejection]:
        """Yield the rows that the end of the body completes."""
        ...


class LineSplitter:
    """Splits chunks of a body into lines."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self.line_number = 0
        """Number of the latest line, counted from 1."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that a chunk completes, without their line ends."""
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self.line_number += 1
            yield bytes(self._rest + line) if self._rest else line
            self._rest.clear()
        self._rest += rest

    def finish(self) -> Iterator[bytes]:
        """Yield the last line if it has no line end."""
        if self._rest:
            self.line_number += 1
            yield bytes(self._rest)
            self._rest.clear()

    @property
    def overlong_line(self) -> Rejection | None:
        """Rejection of an unfinished line that exceeds the limit already; otherwise None."""
        return LINE_TOO_LONG.at(self.line_number + 1) if len(self._rest) > MAX_LINE_BYTES else None
