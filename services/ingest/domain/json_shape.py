"""What JSON may hold and a database or a strict parser may not: looked for only where the bytes make it possible."""

import math
from typing import Any


def depth_exceeds(value: Any, limit: int) -> bool:
    """Whether arrays and objects are nested deeper than `limit`. Does not recurse."""
    level = [value]
    for _ in range(limit):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return any(isinstance(node, dict | list) for node in level)


def has_nul(value: Any) -> bool:
    """Whether a string or a key holds the character U+0000, which PostgreSQL cannot store."""
    return any("\x00" in text for text in _scalars(value) if isinstance(text, str))


def has_non_number(value: Any) -> bool:
    """Whether a number is NaN or infinite, which JSON does not know."""
    return any(isinstance(number, float) and not math.isfinite(number) for number in _scalars(value))


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _scalars(value: Any) -> list[Any]:
    found: list[Any] = []
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            found.extend(node)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
        else:
            found.append(node)
    return found
