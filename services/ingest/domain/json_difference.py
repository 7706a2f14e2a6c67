"""Differences between two JSON documents, by the JSON Pointer of each."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from batchyard_contracts.pointer import MISSING, pointer_to


class Difference(NamedTuple):
    """A value that differs; `MISSING` on the side that does not have it."""

    pointer: str
    before: Any
    after: Any


def differences(before: Any, after: Any) -> list[Difference]:
    """Return the innermost values that differ, in the order of the documents."""
    return list(_differences(before, after, ()))


def _differences(before: Any, after: Any, path: tuple[str | int, ...]) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _differences(before.get(name, MISSING), after.get(name, MISSING), (*path, name))
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            yield from _differences(_entry(before, place), _entry(after, place), (*path, place))
    elif before is not after and (type(before) is not type(after) or before != after):
        yield Difference(pointer_to(path), before, after)


def _entry(values: list[Any], place: int) -> Any:
    return values[place] if place < len(values) else MISSING
