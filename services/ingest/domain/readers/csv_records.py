"""Splits a CSV file that arrives in pieces into records of cells.

Python's `csv` splits a record into cells. It reads from a source that it can wait for, and an upload arrives in pieces.
So it is given the complete lines of a piece, and a record that they do not complete waits for the line that ends it.
"""

import csv
import io
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from services.ingest.domain.readers.csv_header import likely_delimiter, named_delimiter
from services.ingest.domain.readers.encoding import Utf8Stream, not_utf8
from services.ingest.domain.readers.rows import LINE_TOO_LONG, MAX_LINE_BYTES
from services.ingest.domain.rejection import Rejection

Record = tuple[int, list[str]]
"""Number of the line on which a record begins, counted from 1, and its cells."""
MALFORMED = "malformed_csv"
_TOO_LARGE = "field larger"
_STRAY_RETURN = "new-line character"
"""Beginnings of messages of `csv`; all others concern quotation marks."""
_RETURN_ADVICE = (
    "A carriage return stands alone. End lines as Windows or Unix does, and put a cell that has line ends in quotation "
    "marks."
)
_QUOTE_ADVICE = (
    "A cell begins with a quotation mark, and text follows its closing mark. Within such a cell, double each mark."
)
_OPEN_ADVICE = (
    "A cell begins with a quotation mark that is not closed. If the mark is part of the text, put the cell in "
    "quotation marks, and double this one."
)
_END = ""
"""Line that follows those of a piece; a record that takes it in is not complete."""
csv.field_size_limit(MAX_LINE_BYTES)


class MalformedCsv(Exception):
    """The file cannot be read from here on."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(str(rejection))
        self.rejection = rejection


class CsvRecords:
    """Splitter of one file. Holds no more than one unfinished record, and raises `MalformedCsv`."""

    def __init__(self, item_schema: Mapping[str, Any]) -> None:
        self._schema = item_schema
        self._text = Utf8Stream(MALFORMED)
        self._rest = bytearray()
        self._line = 0
        """Number of lines that were taken."""
        self._delimiter = ""
        self._open = io.StringIO()
        self._open_line = 0
        """Text so far of a record that ends in an open quoted cell, and the number of its first line; 0 without one."""

    def feed(self, chunk: bytes) -> Iterator[Record]:
        """Yield the records that a chunk completes, empty ones too."""
        text = self._text.feed(chunk)
        end = text.rfind(b"\n") + 1
        if end:
            lines = bytes(self._rest) + text[:end]
            self._rest[:] = text[end:]
            yield from self._decode(lines)
        else:
            self._rest += text
        if self._text.rejection:
            raise MalformedCsv(self._text.rejection)
        if len(self._rest) > MAX_LINE_BYTES:
            raise MalformedCsv(LINE_TOO_LONG.at(self._line + 1))

    def finish(self) -> Iterator[Record]:
        """Yield the record of a last line without a line end."""
        self._rest += self._text.feed(b"", final=True)
        if self._text.rejection:
            raise MalformedCsv(self._text.rejection)
        yield from self._decode(bytes(self._rest))
        if self._open_line:
            raise MalformedCsv(Rejection(MALFORMED, _OPEN_ADVICE, 400, self._open_line))

    def _decode(self, lines: bytes) -> Iterator[Record]:
        """Yield the records of complete lines, up to the first that is not UTF-8."""
        try:
            yield from self._split(lines.decode())
        except UnicodeDecodeError as error:
            end = lines.rfind(b"\n", 0, error.start) + 1
            yield from self._split(lines[:end].decode())
            error.start -= end
            raise MalformedCsv(not_utf8(lines[end:], error, MALFORMED, self._line + 1)) from error

    def _split(self, text: str) -> Iterator[Record]:
        lines = list(io.StringIO(text, newline="\n"))
        if self._open_line:
            lines = yield from self._close_record(lines)
        if not self._delimiter:
            lines = self._find_delimiter(lines)
        first, taken = self._line + 1, 0
        records = csv.reader(chain(lines, (_END,)), delimiter=self._delimiter or ",", strict=True)
        try:
            for cells in records:
                if records.line_num > len(lines):
                    break
                yield first + taken, cells
                taken = records.line_num
        except csv.Error as error:
            if records.line_num <= len(lines):
                raise MalformedCsv(_rejection_of(error, first + taken, first + records.line_num - 1)) from error
        self._line += taken
        if taken < len(lines):
            self._open, self._open_line = io.StringIO(), self._line + 1
            for line in lines[taken:]:
                self._keep(line)

    def _find_delimiter(self, lines: list[str]) -> list[str]:
        """Set the delimiter by the first line that is not empty; returns the lines from the header on."""
        for index, line in enumerate(lines):
            if line.strip():
                named = named_delimiter(line, self._line + index + 1)
                if isinstance(named, Rejection):
                    raise MalformedCsv(named)
                self._delimiter = named or likely_delimiter(line, self._schema)
                start = index + (named is not None)
                self._line += start
                return lines[start:]
        self._line += len(lines)
        return []

    def _keep(self, line: str) -> None:
        """Add a line to the open record."""
        self._line += 1
        self._open.write(line)
        if self._open.tell() > MAX_LINE_BYTES + 1:
            raise MalformedCsv(LINE_TOO_LONG.at(self._line))

    def _close_record(self, lines: Sequence[str]) -> Generator[Record, None, list[str]]:
        """Yield the open record if one of the lines ends it; returns the lines that follow."""
        for index, line in enumerate(lines):
            self._keep(line)
            if '"' in line and self._is_end(line):
                number, self._open_line = self._open_line, 0
                try:
                    yield number, next(csv.reader([self._open.getvalue()], delimiter=self._delimiter, strict=True))
                except csv.Error as error:
                    raise MalformedCsv(_rejection_of(error, number, self._line)) from error
                return list(lines[index + 1 :])
        return []

    def _is_end(self, line: str) -> bool:
        """Tell whether a line that begins in a quoted cell ends its record."""
        try:
            return sum(1 for _ in csv.reader(['"' + line, _END], delimiter=self._delimiter)) > 1
        except csv.Error:  # which splitting the record explains
            return True


def _rejection_of(error: csv.Error, first: int, last: int) -> Rejection:
    """Return the rejection of a record that `csv` cannot split, from its first to its last line."""
    message = str(error)
    if message.startswith(_TOO_LARGE):
        return LINE_TOO_LONG.at(last)
    advice = _RETURN_ADVICE if message.startswith(_STRAY_RETURN) else _QUOTE_ADVICE
    return Rejection(MALFORMED, advice, 400, first)
