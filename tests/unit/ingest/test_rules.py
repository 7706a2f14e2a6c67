"""How items are judged, sorted by destination, and compared."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.manifest import Manifest, Partition
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH, NewItem
from services.ingest.domain.fault import Fault
from services.ingest.domain.item import Entry, entries_of, entry_of, source_of
from services.ingest.domain.item_validator import Rules
from services.ingest.domain.json_shape import depth_exceeds
from services.ingest.domain.limits import MAX_DEPTH, MAX_ITEM_BYTES

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def rules(**settings: Any) -> Rules:
    return Rules(
        Manifest.model_validate({"name": "w", "version": "1", "item_schema": {}, "result_schema": {}} | settings)
    )


def test_a_schema_that_is_none_is_refused() -> None:
    for schema in ({"type": "sqare"}, {"$ref": "http://example.org/x.json"}, {"pattern": 3}):
        with pytest.raises(ValueError, match="item schema of w 1 is not usable"):
            rules(item_schema=schema)


def test_an_explanation_is_short_and_names_the_place() -> None:
    found = rules(item_schema={"properties": {"a": {"items": {"maxLength": 1}}}}).judge({"a": ["", "x" * 5000]}, b"")
    assert isinstance(found, Fault)
    assert found.detail.startswith("/a/1: ")
    assert len(found.detail) < 400


def test_sizes() -> None:
    plain = rules()
    assert plain.judge({}, b" " * MAX_ITEM_BYTES) is None
    found = plain.judge({}, b" " * (MAX_ITEM_BYTES + 1))
    assert found is not None
    assert (found.code, found.status) == ("item_too_large", 413)


def test_braces_in_text_are_no_depth() -> None:
    text = "[{" * 1000
    assert rules().judge({"a": text}, b'{"a": "' + text.encode() + b'"}') is None


@given(st.integers(0, 90), st.booleans())
def test_depth(levels: int, in_list: bool) -> None:
    value: Any = 1
    for _ in range(levels):
        value = [value] if in_list else {"a": value}
    assert depth_exceeds(value, MAX_DEPTH) == (levels > MAX_DEPTH)


@pytest.mark.parametrize(
    ("by", "payload", "expected"),
    [
        ("host", {"u": "https://User:pw@Www.Example.ORG:8443/a?b"}, "www.example.org"),
        ("host", {"u": "http://[::1]:80/"}, "::1"),
        ("host", {"u": "http://[broken/"}, ""),
        ("host", {"u": "no url"}, ""),
        ("host", {"u": 7}, ""),
        ("host", {}, ""),
        ("value", {"u": "Key"}, "Key"),
        ("value", {"u": 7}, "7"),
        ("value", {"u": True}, "true"),
        ("value", {"u": None}, ""),
        ("value", {"u": {"a": 1}}, ""),
        ("value", {"u": "x" * 1000}, "x" * 255),
    ],
)
def test_partitions(by: str, payload: dict[str, Any], expected: str) -> None:
    assert rules(partition=Partition.model_validate({"pointer": "/u", "by": by})).partition(payload) == expected


def test_without_a_pointer_there_is_one_partition_and_no_duplicate() -> None:
    assert rules().partition({"u": "http://a/"}) == ""
    assert rules().fingerprint({"u": 1}) is None
    assert rules(dedup="/u").fingerprint({}) is None


def test_pointers_follow_rfc_6901() -> None:
    by = rules(partition=Partition(pointer="/a~1b/1/c~0d"))
    assert by.partition({"a/b": [{}, {"c~d": "here"}]}) == "here"
    assert by.partition({"a/b": [{}]}) == ""
    assert by.partition({"a/b": {"1": {"c~d": "there"}}}) == "there"


@given(JSON, JSON)
def test_fingerprints_are_the_same_for_the_same_value(left: Any, right: Any) -> None:
    whole = rules(dedup="")
    shuffled = {"b": right, "a": left}
    assert whole.fingerprint({"a": left, "b": right}) == whole.fingerprint(shuffled)
    by_a = rules(dedup="/a")
    same = by_a.fingerprint({"a": left}) == by_a.fingerprint({"a": right})
    assert same == (_canonical(left) == _canonical(right))


def test_an_integer_beyond_64_bits_is_passed_on_whole() -> None:
    (entry,) = _entries(rules(dedup="/n"), [NewItem(payload={"n": 2**70})])
    assert entry.raw == b'{"n":%d}' % 2**70
    assert entry.fingerprint != _entries(rules(dedup="/n"), [NewItem(payload={"n": 2**70 + 1})])[0].fingerprint


def test_the_first_bad_item_is_counted_from_one() -> None:
    strict = rules(item_schema={"required": ["n"]})
    found = entries_of(strict, [NewItem(payload={"n": 1}), NewItem(payload={}), NewItem(payload={})], 0)
    assert isinstance(found, Fault)
    assert (found.code, found.line) == ("invalid_item", 2)
    assert "line 2" in str(found)


def test_ordinals_go_on_from_the_first() -> None:
    found = entries_of(rules(), [NewItem(payload={}, custom_id="c"), NewItem(payload={})], 40)
    assert isinstance(found, list)
    assert [(entry.ordinal, entry.custom_id) for entry in found] == [(40, "c"), (41, None)]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_does_not_know(number: float) -> None:
    found = entries_of(rules(), [NewItem(payload={"a": [{"b": number}]})], 0)
    assert isinstance(found, Fault)
    assert found.line == 1
    assert isinstance(entries_of(rules(), [NewItem(payload={"a": "NaN, Infinity"})], 0), list)


def test_nul_is_refused_and_its_written_form_is_not() -> None:
    assert isinstance(entry_of(rules(), 0, {"a": "\x00"}, b'{"a":"\\u0000"}', None), Fault)
    assert isinstance(entry_of(rules(), 0, {"\x00": 1}, b'{"\\u0000":1}', None), Fault)
    assert isinstance(entry_of(rules(), 0, {"a": "\\u0000"}, b'{"a":"\\\\u0000"}', None), Entry)


@pytest.mark.parametrize(
    ("payload", "raw"), [([1], b"[1]"), ("text", b'"text"'), (None, b"null"), (7, b"7"), (True, b"true")]
)
def test_a_payload_that_is_no_object_is_refused_whatever_the_schema_says(payload: Any, raw: bytes) -> None:
    found = rules(item_schema={}).judge(payload, raw)
    assert found == Fault("invalid_item", "An item's payload is a JSON object.")


def test_an_item_that_is_nested_too_deep_is_refused() -> None:
    deep = b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"
    found = rules().judge(json.loads(deep), deep)
    assert found is not None
    assert found.code == "item_too_deep"
    flat = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert rules().judge(json.loads(flat), flat) is None


@pytest.mark.parametrize(("max_items", "most"), [(None, MAX_ITEMS_PER_BATCH), (3, 3)])
def test_a_batch_with_more_items_than_its_workload_takes_is_refused(max_items: int | None, most: int) -> None:
    judge = rules(max_items=max_items)
    assert judge.crowd(most) is None
    found = judge.crowd(most + 1)
    assert found is not None
    assert (found.code, f" {most} items" in found.detail) == ("too_many_items", True)


SOURCED = {"source_schema": {"required": ["area"]}, "item_schema": {"required": ["id"]}}


def test_a_source_is_item_zero_and_is_judged_by_its_own_schema() -> None:
    judge = rules(**SOURCED, dedup="/id", partition=Partition(pointer="/area"))
    assert judge.take_sources
    assert source_of(judge, {"area": "x"}) == Entry(0, b'{"area":"x"}', None, "", None, source=True)
    found = source_of(judge, {"id": 1})
    assert isinstance(found, Fault)
    assert found.code == "invalid_item"
    assert not rules().take_sources


def test_a_source_with_a_number_that_json_does_not_know_is_refused() -> None:
    judge = rules(**SOURCED)
    for number in (float("nan"), float("-inf")):
        assert isinstance(source_of(judge, {"area": [number]}), Fault)
    assert isinstance(source_of(judge, {"area": "NaN"}), Entry)


def test_a_source_schema_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="source schema of w 1 is not usable"):
        rules(source_schema={"type": "sqare"})


def test_what_a_workload_counts_and_sums_up_is_known() -> None:
    plain, rich = rules(), rules(unit={"name": "records", "count": "/n"}, summary_schema={})
    assert (plain.unit, plain.summarized, rich.unit, rich.summarized) == (None, False, "records", True)


def _entries(judge: Rules, items: list[NewItem]) -> list[Entry]:
    found = entries_of(judge, items, 0)
    assert isinstance(found, list)
    return found


def _canonical(value: Any) -> Any:
    """Values as JSON tells them apart: 1, 1.0 and true are three."""
    if isinstance(value, dict):
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_canonical(inner) for inner in value]
    return (type(value).__name__, repr(value))
