"""Refuses HTML whose nesting would make a parser work for minutes on a page of a megabyte."""

import re

MAX_DEPTH = 500
MAX_OPEN_FORMATTING = 16
"""Elements that, left open, a parser opens again inside each following block: the tree grows by their product."""

_TAG = re.compile(r"<!--(?:.*?-->|.*)|<(/?)([a-zA-Z][a-zA-Z0-9]*)", re.DOTALL)
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
_CLOSES_ITSELF = frozenset(["p", "li", "dt", "dd", "option", "tr", "td", "th", "thead", "tbody", "tfoot"])
_FORMATTING = frozenset(["b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"])


def is_too_deep(html: str) -> bool:
    """Tell whether more elements are open at once than in any page of a person or a template."""
    depth = formatting = 0
    for match in _TAG.finditer(html):
        tag = (match[2] or "").lower()
        if not tag or tag in _VOID or tag in _CLOSES_ITSELF:
            continue
        step = -1 if match[1] else 1
        depth = max(0, depth + step)
        if tag in _FORMATTING:
            formatting = max(0, formatting + step)
        if depth > MAX_DEPTH or formatting > MAX_OPEN_FORMATTING:
            return True
    return False
