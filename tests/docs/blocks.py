"""The blocks of code in a page, and what is done with each of them.

A block of `sh` or `python` is run. One that cannot be run, because it installs, measures or needs a key, stands below
the comment `<!-- not run: REASON -->`. All other blocks say by their language what they are.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
RUN = {"sh", "python"}
SHOWN = {"text", "mermaid", "json", "ndjson", "csv", "toml", "yaml", "js", "http"}
"""Languages of blocks that are only shown."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code, with the line on which it begins, and the reason for which it is not run."""

    page: Path
    line: int
    language: str
    code: str
    reason: str | None

    @property
    def is_run(self) -> bool:
        """True for a block that is run."""
        return self.language in RUN and self.reason is None


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("code")), found["language"], found["code"], found["reason"])
        for found in _BLOCK.finditer(text)
    ]
