"""An item that passed every check, ready to travel; and how it is made from each of the forms items come in."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic_core import to_json

from batchyard_contracts.v1.values import NewItem
from services.ingest.domain.fault import Fault
from services.ingest.domain.item_validator import Rules
from services.ingest.domain.json_shape import has_non_number

_NOT_JSON = Fault("invalid_item", "NaN and infinite numbers are not JSON. Send null or text.")


class Entry(NamedTuple):
    """An accepted item. `raw` is its payload as JSON, which is passed on as it is."""

    ordinal: int
    raw: bytes
    custom_id: str | None
    partition: str
    fingerprint: bytes | None
    source: bool = False
    """Whether it is what the items of its batch are to be found by."""


def entry_of(rules: Rules, ordinal: int, payload: Any, raw: bytes, custom_id: str | None) -> Entry | Fault:
    """Judge one item."""
    fault = rules.judge(payload, raw)
    if fault is not None:
        return fault
    return Entry(ordinal, raw, custom_id, rules.partition(payload), rules.fingerprint(payload))


def source_of(rules: Rules, source: Any) -> Entry | Fault:
    """The entry of a batch's source."""
    raw = to_json(source, inf_nan_mode="constants")
    if (b"NaN" in raw or b"Infinity" in raw) and has_non_number(source):
        return _NOT_JSON
    return rules.judge_source(source, raw) or Entry(0, raw, None, "", None, source=True)


def entries_of(rules: Rules, items: Sequence[NewItem], first: int) -> list[Entry] | Fault:
    """Judge the items of a command; the fault names the first one that is wrong, counted from 1."""
    entries: list[Entry] = []
    for index, item in enumerate(items):
        raw = to_json(item.payload, inf_nan_mode="constants")
        if (b"NaN" in raw or b"Infinity" in raw) and has_non_number(item.payload):
            return _NOT_JSON.at(index + 1)
        made = entry_of(rules, first + index, item.payload, raw, item.custom_id)
        if isinstance(made, Fault):
            return made.at(index + 1)
        entries.append(made)
    return entries
