"""Tells how deep arrays and objects are nested in a JSON text, without parsing it."""

import re
from itertools import accumulate

_NOT_A_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\[\]{}"]+', re.DOTALL)


def is_deeper(text: bytes, most: int) -> bool:
    """Tell whether a valid JSON text has more levels of arrays and objects than `most`."""
    return text.count(b"[") + text.count(b"{") > most and _depth(text) > most


def _depth(text: bytes) -> int:
    """Return the number of levels."""
    brackets = _NOT_A_BRACKET.sub(b"", text)
    return max(accumulate(1 if bracket in b"[{" else -1 for bracket in brackets), default=0)
