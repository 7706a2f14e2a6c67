"""ItemValidator: validation of items, their partitions and fingerprints."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.manifest import Manifest, Partition
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH, NewItem
from services.ingest.domain.item import ValidatedItem, validate_item, validate_items, validate_source
from services.ingest.domain.item_validator import ItemValidator
from services.ingest.domain.json_shape import is_deeper_than
from services.ingest.domain.limits import MAX_DEPTH, MAX_ITEM_BYTES
from services.ingest.domain.rejection import Rejection

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def validator(**settings: Any) -> ItemValidator:
    return ItemValidator(
        Manifest.model_validate({"name": "w", "version": "1", "item_schema": {}, "result_schema": {}} | settings)
    )


def test_an_invalid_schema_is_rejected() -> None:
    for schema in ({"type": "sqare"}, {"$ref": "http://example.org/x.json"}, {"pattern": 3}):
        with pytest.raises(ValueError, match="item schema of w 1 is not usable"):
            validator(item_schema=schema)


@pytest.mark.parametrize(
    ("payload", "refused"),
    [
        ({"call": {"url": "http://127.0.0.1/"}}, True),
        ({"call": {"url": "http://10.1.2.3:8080/"}}, False),
        ({"call": {"url": "https://example.org/"}}, False),
        ({"call": {"url": 7}}, False),
        ({"call": {}}, False),
    ],
)
def test_an_address_that_workers_may_never_call_is_refused(payload: dict[str, Any], refused: bool) -> None:
    bounded = validator(egress={"pointer": "/call/url", "networks": ["10.0.0.0/8"], "setting": "NETWORKS"})
    found = bounded.check(payload, json.dumps(payload).encode())
    assert (found is not None) == refused
    if found is not None:
        assert (found.code, found.pointer) == ("item_cannot_run", "/call/url")
        assert "`call.url`" in found.detail
        assert "NETWORKS" in found.detail


def test_networks_that_are_none_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        validator(egress={"pointer": "/url", "networks": ["10.0.0.1/8"], "setting": "NETWORKS"})


def test_an_explanation_is_short_and_has_the_location() -> None:
    found = validator(item_schema={"properties": {"a": {"items": {"maxLength": 1}}}}).check(
        {"a": ["", "x" * 5000]}, b""
    )
    assert isinstance(found, Rejection)
    assert found.detail.startswith("`a.1` ")
    assert len(found.detail) < 400


def test_the_size_of_an_item_is_limited() -> None:
    plain = validator()
    assert plain.check({}, b" " * MAX_ITEM_BYTES) is None
    found = plain.check({}, b" " * (MAX_ITEM_BYTES + 1))
    assert found is not None
    assert (found.code, found.status) == ("item_too_large", 413)


def test_braces_in_text_are_not_counted_as_nesting() -> None:
    text = "[{" * 1000
    assert validator().check({"a": text}, b'{"a": "' + text.encode() + b'"}') is None


@given(st.integers(0, 90), st.booleans())
def test_the_depth_of_nesting_is_found(levels: int, in_list: bool) -> None:
    value: Any = 1
    for _ in range(levels):
        value = [value] if in_list else {"a": value}
    assert is_deeper_than(value, MAX_DEPTH) == (levels > MAX_DEPTH)


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
def test_the_partition_is_the_host_or_the_value_at_the_pointer(by: str, payload: dict[str, Any], expected: str) -> None:
    assert validator(partition=Partition.model_validate({"pointer": "/u", "by": by})).partition(payload) == expected


def test_without_a_pointer_there_is_one_partition_and_no_duplicate() -> None:
    assert validator().partition({"u": "http://a/"}) == ""
    assert validator().fingerprint({"u": 1}) is None
    assert validator(dedup="/u").fingerprint({}) is None


def test_pointers_follow_rfc_6901() -> None:
    by = validator(partition=Partition(pointer="/a~1b/1/c~0d"))
    assert by.partition({"a/b": [{}, {"c~d": "here"}]}) == "here"
    assert by.partition({"a/b": [{}]}) == ""
    assert by.partition({"a/b": {"1": {"c~d": "there"}}}) == "there"


@given(JSON, JSON)
def test_fingerprints_are_the_same_for_the_same_value(left: Any, right: Any) -> None:
    whole = validator(dedup="")
    shuffled = {"b": right, "a": left}
    assert whole.fingerprint({"a": left, "b": right}) == whole.fingerprint(shuffled)
    by_a = validator(dedup="/a")
    same = by_a.fingerprint({"a": left}) == by_a.fingerprint({"a": right})
    assert same == (_canonical(left) == _canonical(right))


def test_an_integer_beyond_64_bits_is_passed_on_whole() -> None:
    (entry,) = _entries(validator(dedup="/n"), [NewItem(payload={"n": 2**70})])
    assert entry.raw == b'{"n":%d}' % 2**70
    assert entry.fingerprint != _entries(validator(dedup="/n"), [NewItem(payload={"n": 2**70 + 1})])[0].fingerprint


def test_the_first_bad_item_is_counted_from_one() -> None:
    strict = validator(item_schema={"required": ["n"]})
    found = validate_items(strict, [NewItem(payload={"n": 1}), NewItem(payload={}), NewItem(payload={})], 0)
    assert isinstance(found, Rejection)
    assert (found.code, found.line) == ("invalid_item", 2)
    assert "line 2" in str(found)


def test_ordinals_go_on_from_the_first() -> None:
    found = validate_items(validator(), [NewItem(payload={}, custom_id="c"), NewItem(payload={})], 40)
    assert isinstance(found, list)
    assert [(entry.ordinal, entry.custom_id) for entry in found] == [(40, "c"), (41, None)]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have_are_rejected(number: float) -> None:
    found = validate_items(validator(), [NewItem(payload={"a": [{"b": number}]})], 0)
    assert isinstance(found, Rejection)
    assert found.line == 1
    assert isinstance(validate_items(validator(), [NewItem(payload={"a": "NaN, Infinity"})], 0), list)


def test_nul_is_rejected_and_its_escaped_form_is_not() -> None:
    assert isinstance(validate_item(validator(), 0, {"a": "\x00"}, b'{"a":"\\u0000"}', None), Rejection)
    assert isinstance(validate_item(validator(), 0, {"\x00": 1}, b'{"\\u0000":1}', None), Rejection)
    assert isinstance(validate_item(validator(), 0, {"a": "\\u0000"}, b'{"a":"\\\\u0000"}', None), ValidatedItem)


@pytest.mark.parametrize(
    ("payload", "raw"), [([1], b"[1]"), ("text", b'"text"'), (None, b"null"), (7, b"7"), (True, b"true")]
)
def test_a_payload_that_is_no_object_is_rejected_whatever_the_schema(payload: Any, raw: bytes) -> None:
    found = validator(item_schema={}).check(payload, raw)
    assert found == Rejection("invalid_item", "The payload of an item has to be a JSON object.")


def test_an_item_that_is_nested_too_deep_is_rejected() -> None:
    deep = b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"
    found = validator().check(json.loads(deep), deep)
    assert found is not None
    assert found.code == "item_too_deep"
    flat = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert validator().check(json.loads(flat), flat) is None


@pytest.mark.parametrize(("max_items", "most"), [(None, MAX_ITEMS_PER_BATCH), (3, 3)])
def test_a_batch_with_more_items_than_its_workload_allows_is_rejected(max_items: int | None, most: int) -> None:
    subject = validator(max_items=max_items)
    assert subject.check_count(most) is None
    found = subject.check_count(most + 1)
    assert found is not None
    assert (found.code, f" {most} items" in found.detail) == ("too_many_items", True)


SOURCED = {"source_schema": {"required": ["area"]}, "item_schema": {"required": ["id"]}}


def test_a_source_is_item_zero_and_is_validated_by_its_own_schema() -> None:
    subject = validator(**SOURCED, dedup="/id", partition=Partition(pointer="/area"))
    assert subject.has_source_schema
    assert validate_source(subject, {"area": "x"}) == ValidatedItem(0, b'{"area":"x"}', None, "x", None, source=True), (
        "it keeps the limits of its destination"
    )
    found = validate_source(subject, {"id": 1})
    assert isinstance(found, Rejection)
    assert found.code == "invalid_item"
    assert not validator().has_source_schema


def test_a_source_with_a_number_that_json_does_not_have_is_rejected() -> None:
    subject = validator(**SOURCED)
    for number in (float("nan"), float("-inf")):
        assert isinstance(validate_source(subject, {"area": [number]}), Rejection)
    assert isinstance(validate_source(subject, {"area": "NaN"}), ValidatedItem)


def test_an_invalid_source_schema_is_rejected() -> None:
    with pytest.raises(ValueError, match="source schema of w 1 is not usable"):
        validator(source_schema={"type": "sqare"})


def test_the_unit_and_the_summary_of_a_workload_are_known() -> None:
    plain, rich = validator(), validator(unit={"name": "records", "count": "/n"}, summary_schema={})
    assert (plain.unit, plain.has_summary, rich.unit, rich.has_summary) == (None, False, "records", True)


def _entries(subject: ItemValidator, items: list[NewItem]) -> list[ValidatedItem]:
    found = validate_items(subject, items, 0)
    assert isinstance(found, list)
    return found


def _canonical(value: Any) -> Any:
    """Values as JSON tells them apart: 1, 1.0 and true are three."""
    if isinstance(value, dict):
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_canonical(inner) for inner in value]
    return (type(value).__name__, repr(value))
