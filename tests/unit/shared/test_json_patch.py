"""JSON Patches: valid ones, those that apply, and the largest result."""

from typing import Any

import pytest

from shared.json.patch import MAX_PATCH_BYTES, Patch, PatchError
from tests.support.growth import assert_linear

DOCUMENT = {"url": "https://a.example", "tags": [1, {"deep": None}]}


def test_a_patch_changes_a_copy() -> None:
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/tags/0", "value": 1},
        {"op": "copy", "from": "/url", "path": "/old"},
        {"op": "replace", "path": "/url", "value": None},
        {"op": "move", "from": "/tags/1", "path": "/first"},
        {"op": "add", "path": "/tags/-", "value": 10**30},
        {"op": "remove", "path": "/tags/0"},
    ]
    before = repr(DOCUMENT)
    changed = Patch(operations, 1000).apply(DOCUMENT)
    assert changed == {"url": None, "tags": [10**30], "old": "https://a.example", "first": {"deep": None}}
    assert repr(DOCUMENT) == before


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "frob", "path": "/a"}],
        [{"path": "/a"}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": 5, "value": 1}],
        [{"op": ["add"], "path": "/a", "value": 1}],
        [{"op": "copy", "path": "/a"}],
        [{"op": "add", "path": "/a", "value": "x" * MAX_PATCH_BYTES}],
    ],
)
def test_an_invalid_patch_is_an_error(operations: list[dict[str, Any]]) -> None:
    with pytest.raises(PatchError):
        Patch(operations, 1000).apply(DOCUMENT)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "remove", "path": "/tags/9"},
        {"op": "remove", "path": ""},
        {"op": "add", "path": "/url/x", "value": 1},
        {"op": "add", "path": "/tags/x", "value": 1},
        {"op": "add", "path": "/tags/99999999999", "value": 1},
        {"op": "test", "path": "/url", "value": 1},
        {"op": "move", "from": "/tags", "path": "/tags/0"},
        {"op": "copy", "from": "/nowhere", "path": "/x"},
    ],
)
def test_a_patch_that_does_not_apply_is_an_error(operation: dict[str, Any]) -> None:
    patch = Patch([operation], 1000)
    with pytest.raises(PatchError):
        patch.apply(DOCUMENT)


def test_copies_of_copies_do_not_fill_the_memory() -> None:
    bomb = [{"op": "copy", "from": "", "path": f"/x{n}"} for n in range(100)]
    with pytest.raises(PatchError, match="copies over 100000 bytes"):
        Patch(bomb, 100_000).apply(DOCUMENT)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/tags/0", "value": "x"},
        {"op": "copy", "from": "/url", "path": "/tags/0"},
        {"op": "test", "path": "/url", "value": "https://a.example"},
    ],
    ids=lambda operation: operation["op"],
)
def test_operations_do_not_each_take_time_for_the_whole_document(operation: dict[str, Any]) -> None:
    assert_linear(lambda n: Patch([operation] * n, 10**9).apply(DOCUMENT | {"rest": [{"a": 1}] * 20 * n}), 25)
