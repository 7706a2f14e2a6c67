"""Finds the address of the clip in the output of a job, whatever its shape: a text, a list, an object, nested. Pure."""

import re
from collections.abc import Iterator
from typing import Any

_MOST = 1000
"""Number of values of an output that are looked at."""
_CLIP_NAME = re.compile(r"video|clip|output|result|mp4|webm|file|url|uri|download", re.IGNORECASE)
_OTHER_NAME = re.compile(r"thumb|preview|poster|cover|frame|image|audio|log|webhook|cancel|status|input", re.IGNORECASE)
_CLIP_END = re.compile(r"\.(mp4|webm|mov|mkv|avi|gif|m4v)$", re.IGNORECASE)
_OTHER_END = re.compile(r"\.(jpe?g|png|webp|wav|mp3|json|txt|log|srt|vtt)$", re.IGNORECASE)


def clip_address(output: Any) -> str | None:
    """Return the likeliest address (https, http or a data URI); None where there is none."""
    found = list(_addresses(output))
    return max(found, key=lambda one: one[0])[1] if found else None


def _addresses(output: Any) -> Iterator[tuple[int, str]]:
    """Yield addresses with their likelihood; of equal ones the first counts."""
    waiting: list[tuple[str, Any]] = [("", output)]
    for _ in range(_MOST):
        if not waiting:
            return
        name, value = waiting.pop(0)
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}", inner) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(name, inner) for inner in value]
        elif isinstance(value, str) and value.startswith(("https://", "http://", "data:")):
            yield _likelihood(name, value), value


def _likelihood(name: str, address: str) -> int:
    kind = address[:64].lower()
    if kind.startswith("data:"):
        end = 2 if kind.startswith(("data:video/", "data:application/octet")) else -2
    else:
        path = re.split(r"[?#]", address, maxsplit=1)[0]
        end = 2 * bool(_CLIP_END.search(path)) - 2 * bool(_OTHER_END.search(path))
    own = name.rpartition(".")[2] or name
    return end + bool(_CLIP_NAME.search(name)) - 3 * bool(_OTHER_NAME.search(own))
