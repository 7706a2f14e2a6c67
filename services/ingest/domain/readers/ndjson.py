"""Reads NDJSON: on each line an item, as `ItemForm` describes it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import orjson

from services.ingest.domain.limits import MAX_DEPTH
from services.ingest.domain.readers.encoding import Utf8Stream, not_utf8
from services.ingest.domain.readers.item_form import ItemForm
from services.ingest.domain.readers.rows import LINE_TOO_LONG, MAX_LINE_BYTES, LineSplitter, Row
from services.ingest.domain.rejection import Rejection

_ONE_A_LINE = "Write one JSON object per line."
_LIST = "This is a JSON list. Write one item per line, without the brackets and commas of the list, or send it as JSON."

_decode = msgspec.json.Decoder().decode
"""Reads integers of any size exactly, as `orjson` does not."""


class NdjsonReader:
    """Reads one item per line. Empty lines are skipped, and counted."""

    def __init__(self, item_schema: Mapping[str, Any]) -> None:
        self._form = ItemForm(item_schema)
        self._text = Utf8Stream("malformed_json")
        self._lines = LineSplitter()

    def feed(self, chunk: bytes) -> Iterator[Row | Rejection]:
        """Yield the rows that a chunk completes."""
        yield from self._rows(self._lines.feed(self._text.feed(chunk)))
        if rejection := self._text.rejection or self._lines.overlong_line:
            yield rejection

    def finish(self) -> Iterator[Row | Rejection]:
        """Yield the row of a last line without a line end."""
        yield from self._rows(self._lines.feed(self._text.feed(b"", final=True)))
        if rejection := self._text.rejection:
            yield rejection
        yield from self._rows(self._lines.finish())

    def _rows(self, lines: Iterable[bytes]) -> Iterator[Row | Rejection]:
        for line in lines:
            text = line.strip()
            if not text:
                continue
            if len(text) > MAX_LINE_BYTES:
                yield LINE_TOO_LONG.at(self._lines.line_number)
                return
            try:
                value = _decode(text)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                rejection = _rejection_of(error, line, self._lines.line_number)
                yield rejection
                if rejection.is_final:
                    return
                continue
            if isinstance(value, list):
                yield Rejection("malformed_json", _LIST, 400, self._lines.line_number, is_final=True)
                return
            yield self._form.row(self._lines.line_number, value, text)


def _rejection_of(error: Exception, line: bytes, number: int) -> Rejection:
    """Return the rejection of a line that is not JSON, with the column and with what to do about it."""
    try:
        line.decode()
    except UnicodeDecodeError as place:
        return not_utf8(line, place, "malformed_json", number)
    if isinstance(error, RecursionError):
        return Rejection(
            "item_too_deep", f"The item is nested deeper than {MAX_DEPTH} levels. Flatten it.", line=number
        )
    text = line.strip()
    if text.startswith(b"["):
        return Rejection("malformed_json", _LIST, 400, number, is_final=True)
    advice, is_final = _ONE_A_LINE, False
    if text in {b"{", b"}"} or text.endswith((b"{", b"[")):
        is_final = True
        advice = "An item has to stand on one line. Write it without line breaks, or send a JSON list."
    elif text.endswith(b"},"):
        advice = "A comma stands after the object. Write one object per line, without commas between them."
    try:
        orjson.loads(line)  # states the column, which the other parser does not
    except orjson.JSONDecodeError as place:
        detail = f"Column {place.colno}: {place.msg}. {advice}"
        return Rejection("malformed_json", detail, 400, number, column=place.colno, is_final=is_final)
    return Rejection("malformed_json", f"{error}. {advice}", 400, number, is_final=is_final)
