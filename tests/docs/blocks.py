"""The blocks of code in a page, and what is done with each of them.

A block of `sh`, `python` or `js` is run. Comments directly above a block say what else is to be known:

    <!-- not run: REASON -->            a block that installs, measures or needs a key, a drawing, an output
    <!-- needs PROGRAM PROGRAM -->      programs that not every machine has; without one of them the block is skipped
    <!-- runs until Ctrl-C; at work when it says: TEXT -->    the next blocks run beside it
    <!-- add to FILE -->                a part of a workload: it is added to the file, which is then checked
"""

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?P<comments>(?:^<!-- [^>]+ -->\n)*)^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_COMMENT = re.compile(
    r"^<!-- (not run: |needs |runs until Ctrl-C; at work when it says: |add to )(.+) -->$", re.MULTILINE
)
RUN = {"sh", "python", "js"}
SHOWN = {"text", "mermaid", "json", "ndjson", "csv", "toml"}
"""Languages of blocks that are only shown, each for the reason above it."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code, with the line on which it begins, and the comments above it."""

    page: Path
    line: int
    language: str
    code: str
    reason: str | None
    """Reason for which it is not run; None if it is."""
    needs: tuple[str, ...] = ()
    says: str | None = None
    """Text that the block, which goes on by itself, prints when it is at work; None: it ends."""
    file: str | None = None
    """File of a workload that the block is added to."""


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [_block(page, text.count("\n", 0, found.start("code")), found) for found in _BLOCK.finditer(text)]


def _block(page: Path, line: int, found: re.Match[str]) -> Block:
    comments = {name.rstrip(": "): value for name, value in _COMMENT.findall(found["comments"])}
    return Block(
        page,
        line,
        found["language"],
        found["code"],
        comments.get("not run"),
        tuple(comments.get("needs", "").split()),
        comments.get("runs until Ctrl-C; at work when it says"),
        comments.get("add to"),
    )
