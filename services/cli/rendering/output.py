"""Writes answers to standard output and all other messages to standard error. Nothing is cut where the output is no
terminal, and no id, no command and no word is cut anywhere."""

import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console, RenderableType
    from rich.table import Table

_UNLIMITED = 10_000
"""Columns of an output that is no terminal."""
_LEAST = 36
"""Columns that a column of running text keeps: those of an id."""


def write_json(document: Any) -> None:
    """Write one document as one line of standard output; bytes are taken as JSON already."""
    text = document.strip() if isinstance(document, bytes) else msgspec.json.encode(document)
    write_bytes(text + b"\n")


def write_bytes(data: bytes) -> None:
    """Write to standard output as it is. A reader that has seen enough (`| head`) ends the command."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


def say(text: str) -> None:
    """Write a line of the answer."""
    write_bytes(f"{text}\n".encode(errors="replace"))


def note(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def note_more(page: "Mapping[str, Any]", cursor: str, option: str) -> None:
    """Write how to go on, if there may be more than this page has."""
    if page.get(cursor):
        note(f"More, with the same options: {option} {page[cursor]}")


def show(*parts: "RenderableType") -> None:
    """Write tables and texts to standard output."""
    from rich.table import Table  # noqa: PLC0415  # most answers are lines
    from rich.text import Text  # noqa: PLC0415  # as above

    is_terminal = sys.stdout.isatty()
    for part in parts:
        console = _console(is_terminal, stderr=False)
        if isinstance(part, Table):
            console.width = max(console.width, _least_width(part))
        whole = isinstance(part, Text) and bool(part.no_wrap)  # a command that is to be copied
        if is_terminal:
            console.print(part, crop=False, soft_wrap=whole)
            continue
        with console.capture() as captured:
            console.print(part, crop=False, soft_wrap=whole)
        say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def err() -> "Console":
    """Return standard error for what is drawn."""
    return _console(sys.stderr.isatty(), stderr=True)


def terminal_width() -> int:
    """Return the columns of standard output."""
    return _console(sys.stdout.isatty(), stderr=False).width


def _console(terminal: bool, *, stderr: bool) -> "Console":
    from rich.console import Console  # noqa: PLC0415  # as above

    return Console(stderr=stderr, highlight=False, width=None if terminal else _UNLIMITED)


def _least_width(table: "Table") -> int:
    """Return the width below which cells would be cut or words broken, and make the columns keep it."""
    from rich.cells import cell_len  # noqa: PLC0415  # as above

    total = 0
    for column in table.columns:
        lines = [line for cell in (column.header, *column.cells) for line in str(cell).splitlines() or [""]]
        parts = lines if column.no_wrap else [word[:_LEAST] for line in lines for word in line.split()]
        column.min_width = max(map(cell_len, parts), default=1)
        total += column.min_width + 1
    return total
