"""Header of a CSV file: the delimiter, and the columns by name."""

import csv
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from services.ingest.domain.readers.csv_cells import Converter, converter
from services.ingest.domain.rejection import Rejection

MAX_COLUMNS = 200
CUSTOM_ID = "custom_id"
_DELIMITERS = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r'"?sep=(.?)"?[,;\t ]*', re.IGNORECASE)
"""First line of a file in which a spreadsheet names the delimiter."""
_SEPARATORS = (*_DELIMITERS, "|")
_SEPARATED_BY = "Columns are separated by commas, semicolons or tabs."


class Column(NamedTuple):
    """A column that is a field of the payload, at a position from 0."""

    position: int
    name: str
    convert: Converter | None
    """Conversion of a cell without blanks around it; None for text, which is taken as it is."""


class Header(NamedTuple):
    """The columns of a file. A column without a name has no values."""

    names: list[str]
    columns: list[Column]
    custom_id: int | None
    """Index of the column that holds the ids of the items; None when there is none."""


def named_delimiter(line: str, number: int) -> str | Rejection | None:
    """Return the delimiter that a line `sep=…` names; None for any other line."""
    found = _SEPARATOR_LINE.fullmatch(line.rstrip("\r\n"))
    if found is None:
        return None
    if found[1] not in _SEPARATORS:
        detail = f"The line `sep=` names {found[1]!r} as the delimiter. {_SEPARATED_BY}"
        return Rejection("malformed_csv", detail, 400, number)
    return found[1]


def likely_delimiter(line: str, item_schema: Mapping[str, Any]) -> str:
    """Return the delimiter by which a header has the most names of the item schema, or else the most names."""
    fields = _properties(item_schema)

    def score(delimiter: str) -> tuple[int, int]:
        try:
            names = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
        except csv.Error:  # which the reader of the records explains
            return 0, 0
        return sum(_name_of(name, fields) in (*fields, CUSTOM_ID) for name in names), len(names)

    return max(_DELIMITERS, key=score)


def read_header(cells: Sequence[str], item_schema: Mapping[str, Any], number: int) -> Header | Rejection:
    """Return the header, or why it is none."""
    fields = _properties(item_schema)
    names = [_name_of(cell.strip(), fields) for cell in cells]
    while names and not names[-1]:  # spreadsheets fill up rows
        names.pop()
    if problem := _problem(names, item_schema, fields):
        return Rejection("malformed_csv", problem, 400, number)
    own_id = CUSTOM_ID in names and CUSTOM_ID not in fields
    return Header(
        names,
        [
            Column(position, name, converter(fields.get(name), item_schema))
            for position, name in enumerate(names)
            if not (own_id and name == CUSTOM_ID)
        ],
        names.index(CUSTOM_ID) if own_id else None,
    )


def _problem(names: Sequence[str], item_schema: Mapping[str, Any], fields: Mapping[str, Any]) -> str | None:
    if len(names) > MAX_COLUMNS:
        return f"The header has {len(names)} columns, and at most {MAX_COLUMNS} are allowed."
    if "" in names:
        return f"Column {names.index('') + 1} has no name. The first row of the file names the fields of an item."
    if repeated := next((name for index, name in enumerate(names) if name in names[:index]), None):
        return f"Two columns are named `{_cut(repeated)}`. Rename or remove one of them."
    required = item_schema.get("required")
    for name in required if isinstance(required, list) else ():
        if name not in names:
            return (
                f"The header has no column `{name}`, which every item needs. The first row of the file names the "
                f"fields of an item ({_cut(', '.join(fields))}), and this one has: {_cut(', '.join(names))}. "
                f"{_SEPARATED_BY}"
            )
    return None


def _name_of(cell: str, fields: Mapping[str, Any]) -> str:
    """Return the name of a column; `Custom ID` is `custom_id`, unless it is a field."""
    if cell not in fields and cell.lower().replace(" ", "_").replace("-", "_") == CUSTOM_ID:
        return CUSTOM_ID
    return cell


def _properties(item_schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = item_schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"
