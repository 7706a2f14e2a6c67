"""Every part of every message has a bound: no valid message exceeds a column, a calculation or another message."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import TypeAdapter, ValidationError

from batchyard_contracts.message import Message, Value
from batchyard_contracts.schema.asyncapi import CLIENT, SENDERS
from batchyard_contracts.schema.message_schema import schema_of
from batchyard_contracts.v1 import MESSAGES
from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.values import MAX_INTEGER, Rate, Time
from tests.support.bounds import texts_with_nul, unbounded_parts

STORED_IN_64_BITS = {"done", "number", "total", "units", "version"}
"""Fields whose columns have 64 bits: units of a batch, the number of a change, and the version of a rate, which is kept
in memory."""


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=MESSAGES)
def test_every_part_of_a_message_has_a_bound(kind: type[Message]) -> None:
    assert unbounded_parts(schema_of(kind), kind.type) == []


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=MESSAGES)
def test_an_integer_fits_its_column(kind: type[Message]) -> None:
    wide = {path for path, part in _integers(schema_of(kind), "") if part["maximum"] > MAX_INTEGER}
    assert {path.rpartition(".")[2] for path in wide} <= STORED_IN_64_BITS


WITH_NUL = {
    "batch.control.v1.select.partitions[]",
    "selection.query.v1.select.partitions[]",
    "batches.query.v1.name",
    "batches.query.v1.labels{}",
    "estimate.query.v1.partitions[].partition",
}
"""Texts of clients that may contain U+0000, which PostgreSQL refuses: the aggregator compares them without it, and the
dispatcher stores nothing of an estimate."""


def test_a_text_of_a_client_has_no_nul_unless_its_reader_expects_one() -> None:
    sent = [kind for name, kind in MESSAGES.items() if CLIENT in SENDERS.get(name, ())]
    found = {path for kind in sent for path in texts_with_nul(schema_of(kind), kind.type)}
    assert found == WITH_NUL


def test_every_time_has_a_zone_and_a_range() -> None:
    found = [
        f"{kind.__name__}.{name}"
        for kind in _values(Value)
        for name, hint in get_type_hints(kind, include_extras=True).items()
        if _is_plain_time(hint)
    ]
    assert found == []


def _integers(part: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the integers of a schema that have a maximum, with the names of the fields that lead to them."""
    if isinstance(part, list):
        for one in part:
            yield from _integers(one, path)
    if isinstance(part, dict):
        if part.get("type") == "integer" and "maximum" in part:
            yield path, part
        for name, one in part.items():
            yield from _integers(one, path if name in {"anyOf", "items", "properties", "$defs"} else f"{path}.{name}")


def _values(kind: type[Value]) -> Iterator[type[Value]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("batchyard_contracts."):
            yield one
            yield from _values(one)


def _is_plain_time(hint: Any) -> bool:
    return hint is datetime or (hint != Time and any(map(_is_plain_time, get_args(hint))))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "5e-324", "1e-310", "0"])
def test_a_rate_is_a_number_that_can_be_calculated_with(number: str) -> None:
    with pytest.raises(ValidationError):
        Rate.model_validate_json(f'{{"per_second": {number}}}')


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1"])
def test_feedback_is_a_number_that_can_be_calculated_with(number: str) -> None:
    with pytest.raises(ValidationError):
        DestinationFeedback.model_validate_json(f'{{"mean_wait_ms": {number}}}')


@pytest.mark.parametrize(
    "text", ['"0.5"', '"1700000000"', "1700000000", '"2026-12-24"', '"2026-02-30T00:00:00Z"', '"2026-12-24T18:00:00"']
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_time_is_a_text_of_rfc_3339_with_its_zone(text: str, strict: bool) -> None:
    times: TypeAdapter[datetime] = TypeAdapter(Time)
    with pytest.raises(ValidationError):
        times.validate_json(text, strict=strict)
    for known in ("2026-12-24T18:00:00.5Z", "2026-12-24 18:00:00.500+00:00"):
        assert times.validate_json(f'"{known}"', strict=strict) == datetime(2026, 12, 24, 18, 0, 0, 500_000, UTC)
