"""Checks JSON values for what a database or a strict parser cannot take."""

import math
from typing import Any


def is_deeper_than(value: Any, limit: int) -> bool:
    """Tell whether arrays and objects are nested deeper than `limit`. Does not recurse."""
    level = [value]
    for _ in range(limit):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return any(isinstance(node, dict | list) for node in level)


def has_nul(value: Any) -> bool:
    """Tell whether a string or a key contains the character U+0000, which PostgreSQL cannot store."""
    return any("\x00" in text for text in _scalars(value) if isinstance(text, str))


def has_non_finite_number(value: Any) -> bool:
    """Tell whether a number is NaN or infinite, which JSON does not have."""
    return any(isinstance(number, float) and not math.isfinite(number) for number in _scalars(value))


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _scalars(value: Any) -> list[Any]:
    found: list[Any] = []
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            found.extend(node)
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
        else:
            found.append(node)
    return found
