"""Keeps one generated file current: it is written, or with `--check` compared with what would be written."""

import sys
from collections.abc import Sequence
from pathlib import Path


def keep_current(file: Path, text: str, module: str, arguments: Sequence[str]) -> int:
    """Write the text if the file differs, or say so, and return the exit code. `module` is the one that is run."""
    if file.is_file() and file.read_text("utf-8") == text:
        return 0
    if "--check" in arguments:
        sys.stdout.write(f"differs: {file.name}\nRun `python -m {module}` and commit it.\n")
        return 1
    file.write_text(text, "utf-8", newline="\n")
    sys.stdout.write(f"written: {file.name}\n")
    return 0
