"""The result of a check counts duplicates, destinations and unknown fields within bounds."""

from typing import Any

import pytest

from services.ingest.domain.check_result import (
    MAX_DESTINATIONS,
    MAX_FINGERPRINTS,
    MAX_UNKNOWN_FIELDS,
    CheckResult,
    known_properties,
)
from services.ingest.domain.item import ValidatedItem
from services.ingest.domain.rejection import Rejection


def item(*, partition: str = "", fingerprint: bytes | None = None) -> ValidatedItem:
    return ValidatedItem(0, b"{}", None, partition, fingerprint)


def test_items_that_repeat_an_earlier_one_are_counted() -> None:
    result = CheckResult()
    for fingerprint in (b"a", b"b", b"a", b"a", None, None):
        result.add(item(fingerprint=fingerprint), {})
    assert (result.items, result.duplicates, result.is_acceptable) == (6, 2, True)


def test_fields_that_the_workload_does_not_know_are_counted() -> None:
    result = CheckResult(frozenset({"url"}))
    for payload in ({"url": 1}, {"url": 1, "methd": 2}, {"methd": 1, "x": 2}):
        result.add(item(), payload)
    assert result.unknown_fields == {"methd": 2, "x": 1}


def test_the_memory_of_a_check_is_bounded() -> None:
    result = CheckResult(frozenset())
    for number in range(MAX_FINGERPRINTS + 10):
        result.add(item(partition=str(number), fingerprint=str(number).encode()), {str(number): 1})
    assert len(result.destinations) == MAX_DESTINATIONS
    assert len(result.unknown_fields) == MAX_UNKNOWN_FIELDS
    assert result.duplicates == 0


def test_an_invalid_item_or_a_problem_makes_it_unacceptable() -> None:
    result = CheckResult()
    result.add(Rejection("invalid_item", "It is wrong."), None)
    assert (result.items, result.is_acceptable) == (1, False)
    assert not CheckResult(problems=[Rejection("no_items", "There is none.")]).is_acceptable


@pytest.mark.parametrize(
    ("schema", "names"),
    [
        ({"properties": {"a": {}}}, {"a"}),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"a"}),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, None),
        ({"properties": {"a": {}}, "anyOf": []}, None),
        ({}, None),
    ],
)
def test_only_a_closed_list_of_fields_makes_others_unknown(schema: dict[str, Any], names: set[str] | None) -> None:
    assert known_properties(schema) == names
