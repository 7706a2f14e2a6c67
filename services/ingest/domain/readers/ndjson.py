"""Reads NDJSON: on each line a payload object, or `{"payload": {…}, "custom_id": "…"}`."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.v1.values import CustomId
from services.ingest.domain.fault import Fault
from services.ingest.domain.readers.rows import LONG_LINE, MAX_LINE_BYTES, Lines, Row

_WRAPPED = {"payload", "custom_id"}
_BOM = b"\xef\xbb\xbf"
_CUSTOM_ID: TypeAdapter[str] = TypeAdapter(CustomId)


class NdjsonReader:
    """One item a line; empty lines are skipped, and counted."""

    def __init__(self) -> None:
        self._lines = Lines()

    def feed(self, chunk: bytes) -> Iterator[Row | Fault]:
        """The rows that this piece completes."""
        yield from self._rows(self._lines.feed(chunk))
        if fault := self._lines.too_long:
            yield fault

    def end(self) -> Iterator[Row | Fault]:
        """The row of a last line without an end."""
        return self._rows(self._lines.end())

    def _rows(self, lines: Iterable[bytes]) -> Iterator[Row | Fault]:
        for line in lines:
            number = self._lines.number
            text = (line.removeprefix(_BOM) if number == 1 else line).strip()
            if not text:
                continue
            if len(text) > MAX_LINE_BYTES:
                yield LONG_LINE.at(number)
                return
            try:
                value = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                yield Fault("malformed_json", f"{error}. Write one JSON object a line, in UTF-8.", 400, number)
                return
            yield _row(number, value, text)


def _row(number: int, value: Any, text: bytes) -> Row | Fault:
    if not isinstance(value, dict) or len(value) != len(_WRAPPED) or value.keys() != _WRAPPED:
        return Row(number, value, text, None)
    try:
        custom_id = _CUSTOM_ID.validate_python(value["custom_id"], strict=True)
    except ValidationError as error:
        return Fault("invalid_item", f"custom_id: {error.errors(include_url=False)[0]['msg']}", line=number)
    return Row(number, value["payload"], orjson.dumps(value["payload"]), custom_id)
