"""Reads the folded stacks of a sampling profiler, and charges each sample to the function of ours that asked for it."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

_FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+?)(?::(?P<line>\d+))?\)")
_PACKAGES = "site-packages/"
_ENTRIES = ("shared/runtime/process.py", "__main__.py")
"""Files of the main loop, which are never charged."""


def charge(folded: Iterable[str], project: Path) -> Counter[str]:
    """Samples by the innermost function of the project, named with its dearest line; else by the library function that
    the event loop called.

    A line of the input looks like `main (a.py:1);run (b.py:2) 17`, outermost frame first. Samples of the bare event
    loop are left out: nearly all of them wait in epoll, which the profiler takes for work.
    """
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for line in folded:
        stack, _, count = line.rpartition(" ")
        if where := _charged(stack.split(";"), f"{project}/"):
            file, function, number = where
            found[file, function][number] += int(count)
    return Counter({_named(*key, numbers): numbers.total() for key, numbers in found.items()})


def _named(file: str, function: str, numbers: Counter[str]) -> str:
    ((dearest, _),) = numbers.most_common(1)
    return f"{file}:{dearest} {function}" if dearest else f"({file} {function})"


def _charged(stack: Sequence[str], root: str) -> tuple[str, str, str] | None:
    """File, function and line; the line of a library is of no interest."""
    frames = [match for frame in stack if (match := _FRAME.fullmatch(frame))]
    for frame in reversed(frames):
        if _is_ours(frame["file"], root):
            return frame["file"].removeprefix(root), frame["function"], frame["line"]
    for frame in frames:
        if _PACKAGES in frame["file"] and "/uvloop/" not in frame["file"]:
            return frame["file"].rpartition(_PACKAGES)[2], frame["function"], ""
    return None


def _is_ours(file: str, root: str) -> bool:
    if _PACKAGES in file or file.endswith(_ENTRIES):
        return False
    return file.startswith(root) or not file.startswith(("/", "<"))
