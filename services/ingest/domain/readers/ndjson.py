"""Reads NDJSON: on each line a payload object, or `{"payload": {…}, "custom_id": "…"}`."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.v1.values import CustomId
from services.ingest.domain.readers.rows import LINE_TOO_LONG, MAX_LINE_BYTES, LineSplitter, Row
from services.ingest.domain.rejection import Rejection

_WRAPPED = {"payload", "custom_id"}
_BOM = b"\xef\xbb\xbf"
_CUSTOM_ID: TypeAdapter[str] = TypeAdapter(CustomId)


class NdjsonReader:
    """Reads one item per line. Empty lines are skipped, and counted."""

    def __init__(self) -> None:
        self._lines = LineSplitter()

    def feed(self, chunk: bytes) -> Iterator[Row | Rejection]:
        """Yield the rows that a chunk completes."""
        yield from self._rows(self._lines.feed(chunk))
        if rejection := self._lines.overlong_line:
            yield rejection

    def finish(self) -> Iterator[Row | Rejection]:
        """Yield the row of a last line without a line end."""
        return self._rows(self._lines.finish())

    def _rows(self, lines: Iterable[bytes]) -> Iterator[Row | Rejection]:
        for line in lines:
            number = self._lines.line_number
            text = (line.removeprefix(_BOM) if number == 1 else line).strip()
            if not text:
                continue
            if len(text) > MAX_LINE_BYTES:
                yield LINE_TOO_LONG.at(number)
                return
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                yield Rejection("malformed_json", f"{error}. Write one JSON object per line, in UTF-8.", 400, number)
                return
            yield _row(number, value, text)


def _row(number: int, value: Any, text: bytes) -> Row | Rejection:
    if not isinstance(value, dict) or len(value) != len(_WRAPPED) or value.keys() != _WRAPPED:
        return Row(number, value, text, None)
    try:
        custom_id = _CUSTOM_ID.validate_python(value["custom_id"], strict=True)
    except ValidationError as error:
        return Rejection("invalid_item", f"custom_id: {error.errors(include_url=False)[0]['msg']}", line=number)
    return Row(number, value["payload"], orjson.dumps(value["payload"]), custom_id)
