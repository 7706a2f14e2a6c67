"""Converts cells of CSV to the types of an item schema: numbers as JSON, spreadsheets and databases write them."""

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

MISSING: Final = object()
_MAX_DIGITS = 4000
"""Largest number of characters of a number."""
_MAX_REFERENCES = 8
_INTEGER = re.compile(r"[+-]?[0-9]+(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_SHORTENED = re.compile(r"[+-]?[0-9]\.[0-9]+E\+[0-9]{2}")
"""Display of a long number in a spreadsheet, which has lost its last digits."""
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_NULLS = {"null", "\\n"}
_NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a JSON object",
    "array": "a JSON list",
    "null": "null",
}
_PYTHON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
_decode = msgspec.json.Decoder().decode


class UnfitCell(ValueError):
    """The cell is not of the type that its column takes; the message gives the reason and advice."""


Converter = Callable[[str], Any]


def converter(schema: Any, item_schema: Mapping[str, Any]) -> Converter | None:
    """Return the conversion of the cells of a column, which have no blanks around them; None when they are text.

    The conversion raises `UnfitCell` when the item schema would refuse the cell as text, too.
    """
    types, is_complete = _types(schema, item_schema, 0)
    if not types or "string" in types:
        return None
    parsers = [parser for kind, parser in _PARSERS.items() if kind in types]

    def convert(cell: str) -> Any:
        for parse in parsers:
            value = parse(cell)
            if value is not MISSING:
                return value
        if is_complete:
            raise UnfitCell(_advice(cell, types))
        return cell

    return convert


def _integer(cell: str) -> Any:
    if len(cell) > _MAX_DIGITS:
        return MISSING
    if _INTEGER.fullmatch(cell):
        return int(cell.partition(".")[0])
    if not _NUMBER.fullmatch(cell) or _SHORTENED.fullmatch(cell):
        return MISSING
    numerator, denominator = Decimal(cell).as_integer_ratio()
    return numerator if denominator == 1 else MISSING


def _number(cell: str) -> Any:
    if len(cell) > _MAX_DIGITS or not _NUMBER.fullmatch(cell):
        return MISSING
    if cell.lstrip("+-").isdigit():
        return int(cell)
    number = float(cell)
    return number if math.isfinite(number) else MISSING


def _boolean(cell: str) -> Any:
    return _BOOLEANS.get(cell.lower(), MISSING)


def _null(cell: str) -> Any:
    return None if cell.lower() in _NULLS else MISSING


def _json(kind: type) -> Converter:
    def parse(cell: str) -> Any:
        try:
            value = _decode(cell)
        except (msgspec.MsgspecError, RecursionError):
            return MISSING
        return value if isinstance(value, kind) else MISSING

    return parse


_PARSERS: dict[str, Converter] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "null": _null,
    "object": _json(dict),
    "array": _json(list),
}
"""Parsers by JSON type, in the order in which they are tried; each returns `MISSING` for a cell that it cannot read."""


def _advice(cell: str, types: set[str]) -> str:
    wanted = " or ".join(name for kind, name in _NAMES.items() if kind in types and (kind != "null" or len(types) == 1))
    shown = cell if len(cell) <= 40 else f"{cell[:39]}…"
    return f"takes {wanted}, and the cell is “{shown}”.{_hint(cell, types)}"


def _hint(cell: str, types: set[str]) -> str:
    if types & {"integer", "number"}:
        if len(cell) > _MAX_DIGITS:
            return f" A number has at most {_MAX_DIGITS} digits."
        if _SHORTENED.fullmatch(cell):
            return " A spreadsheet has shortened this number: show all its digits there, and save the file again."
        if _NUMBER.fullmatch(cell):
            return " It is too large." if "number" in types else " It has a fraction."
        if re.fullmatch(r"[+-]?[0-9][0-9.,'\u2019_\s]*", cell):
            return " Write a dot as the decimal mark, and no separators of thousands."
        if re.search(r"[0-9]", cell):
            return " Write the number alone, without a unit."
    if types & {"object", "array"}:
        return " Write it as JSON, in quotation marks, with each inner quotation mark doubled."
    return ""


def _types(schema: Any, item_schema: Mapping[str, Any], references: int) -> tuple[set[str], bool]:
    """Return the JSON types that a schema names, and whether it takes no other type."""
    if not isinstance(schema, dict):
        return set(), False
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if not reference.startswith("#/$defs/") or references == _MAX_REFERENCES:
            return set(), False
        definitions = item_schema.get("$defs")
        target = definitions.get(reference.removeprefix("#/$defs/")) if isinstance(definitions, dict) else None
        return _types(target, item_schema, references + 1)
    kind = schema.get("type")
    if isinstance(kind, str):
        return {kind}, kind in _NAMES or kind == "string"
    if isinstance(kind, list):
        return {each for each in kind if isinstance(each, str)}, True
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        return {_PYTHON_TYPES.get(type(value), "null") for value in values}, True
    for name in ("anyOf", "oneOf", "allOf"):
        choices = schema.get(name)
        if isinstance(choices, list) and choices:
            found = [_types(choice, item_schema, references + 1) for choice in choices]
            return set().union(*(types for types, _ in found)), all(is_complete for _, is_complete in found)
    return set(), False
