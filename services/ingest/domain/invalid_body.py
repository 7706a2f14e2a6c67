"""Rejections of bodies that are no valid commands: the wrong fields, and each wrong item once."""

import re
from collections.abc import Sequence
from dataclasses import replace

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchyard_contracts.validation_words import pointer_of, sentence
from services.ingest.domain.rejection import Rejection, RejectionList

_ITEM_FORM = 'In a command, write an item as {"payload": {…}, "custom_id": "…"}.'
_JSON_PLACE = re.compile(r"(.*) at line (\d+) column (\d+)")
_JSON_WORDS = dict.fromkeys(("expected value", "expected ident"), "here is no JSON value") | {
    "invalid unicode code point": "here is no character of UTF-8",
    "EOF while parsing a value": "the text ends where a value is expected",
}
"""Words for those of the parser that only its authors understand."""
_ADVICE = "Send one JSON object in UTF-8."
_ADVICE_AT_START = "Send one JSON object in UTF-8, without a byte-order mark and uncompressed."
_MAX_REASONS = 3
"""Number of errors of one item that are explained."""


def rejection_of(error: ValidationError) -> Rejection:
    """Return the rejection of an invalid body: it lists the wrong fields, and each wrong item once."""
    found = error.errors(include_url=False, include_input=False)
    first = found[0]
    if first["type"] == "json_invalid":
        return _malformed(first)
    if first["loc"] == ("items",) and first["type"] == "too_long":
        limit = first["ctx"]["max_length"]
        detail = f"A command has at most {limit} items. Append the rest, or upload the items as NDJSON over HTTP."
        return Rejection("too_many_items", detail, pointer="/items")
    rejections = RejectionList()
    by_place: dict[object, list[ErrorDetails]] = {}
    for each in found:
        by_place.setdefault(_item_of(each) if _item_of(each) is not None else each["loc"], []).append(each)
    for errors in by_place.values():
        rejections.add(_rejection_of(errors))
    return rejections.summary() or _rejection_of(found)


def _item_of(error: ErrorDetails) -> int | None:
    """Return the position of the item that is at fault, from 0; None: another field is."""
    place = error["loc"]
    return place[1] if len(place) > 1 and place[0] == "items" and isinstance(place[1], int) else None


def _rejection_of(errors: Sequence[ErrorDetails]) -> Rejection:
    reasons = [sentence(each) for each in errors[:_MAX_REASONS]]
    if len(errors) > _MAX_REASONS:
        reasons.append(f"and {len(errors) - _MAX_REASONS} more")
    detail, position = f"{'; '.join(reasons)}.", _item_of(errors[0])
    if position is None:
        return Rejection("invalid_command", detail, pointer=pointer_of(errors[0]["loc"]))
    if any(each["type"] == "missing" and each["loc"][2:] == ("payload",) for each in errors):
        detail = f"{detail} {_ITEM_FORM}"
    return Rejection("invalid_item", detail, line=position + 1, pointer=pointer_of(errors[0]["loc"]))


def _malformed(error: ErrorDetails) -> Rejection:
    reason = str(error["ctx"]["error"])
    rejection = Rejection("malformed_json", "", 400)
    if place := _JSON_PLACE.fullmatch(reason):
        reason = _JSON_WORDS.get(place[1], place[1].replace("EOF while parsing", "the text ends within"))
        line, column = int(place[2]), int(place[3])
        advice = _ADVICE_AT_START if (line, column) == (1, 1) else _ADVICE
        detail = f"Line {line}, column {column}: {reason}. {advice}"
        listed = replace(rejection, detail=detail, line=line, column=column).as_error()
        return replace(rejection, detail=detail, errors=(listed,), error_count=1)
    return replace(rejection, detail=f"{reason}. {_ADVICE}")
