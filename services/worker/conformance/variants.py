"""Variants of an example such as users submit by mistake: fields that are missing or have odd values."""

from collections.abc import Iterator
from typing import Any

MOST = 24
_VALUES: tuple[Any, ...] = ("", 0, -1, None, [], {}, "x" * 1000, 1e300)


def not_items(example: dict[str, Any]) -> list[Any]:
    """Return payloads that no model of an item accepts."""
    return ["not an item", 7, None, [example]]


def variants(example: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the example without one of its fields each, and with an odd value in one of its fields each."""
    found: list[dict[str, Any]] = []
    for variant in _variants(example):
        if variant != example and variant not in found:
            found.append(variant)
        if len(found) == MOST:
            break
    return found


def _variants(example: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in example:
        yield {key: value for key, value in example.items() if key != name}
    for value in _VALUES:
        for name in example:
            yield {**example, name: value}
