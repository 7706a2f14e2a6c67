"""Reads the folded stacks of a sampling profiler, and charges each sample to the line of ours that asked for it."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

_FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+?)(?::(?P<line>\d+))?\)")
_PACKAGES = "site-packages/"
_ENTRIES = ("shared/process.py", "__main__.py")
"""Files that everything runs in: to charge them says nothing."""


def charge(folded: Iterable[str], project: Path) -> Counter[str]:
    """Samples by the innermost line of the project, else by the library function that the event loop called.

    A line looks like `main (a.py:1);run (b.py:2) 17`, outermost frame first. Samples of the bare event loop are left
    out: nearly all of them wait in epoll, which the profiler takes for work.
    """
    found: Counter[str] = Counter()
    for line in folded:
        stack, _, count = line.rpartition(" ")
        if where := _charged(stack.split(";"), f"{project}/"):
            found[where] += int(count)
    return found


def _charged(stack: Sequence[str], root: str) -> str | None:
    frames = [match for frame in stack if (match := _FRAME.fullmatch(frame))]
    for frame in reversed(frames):
        if _is_ours(frame["file"], root):
            return f"{frame['file'].removeprefix(root)}:{frame['line']} {frame['function']}"
    for frame in frames:
        if _PACKAGES in frame["file"] and "/uvloop/" not in frame["file"]:
            return f"({frame['file'].rpartition(_PACKAGES)[2]} {frame['function']})"
    return None


def _is_ours(file: str, root: str) -> bool:
    if _PACKAGES in file or file.endswith(_ENTRIES):
        return False
    return file.startswith(root) or not file.startswith(("/", "<"))
