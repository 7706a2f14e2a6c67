"""Help as plain text: commands in groups, examples as they are written. It is there at once, because it loads no
library that draws."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from services.cli.commands.usage_words import plain_words, usage_piece

_URL = "--url"
_OTHERS = "Commands"
_WIDE = 70
_NAMES, _FEW = 30, 12
"""Columns for the names of options, in a wide terminal and in a narrow one."""
_TYPE = re.compile(r"<(?:list\[)?(?:str|path|int range|int)\]?>")
"""Python's name of a type, which says nothing to the reader."""


class _PlainUsage:
    """Usage line and errors of a command in the words of its reader."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line."""
        return [usage_piece(piece) for piece in super().collect_usage_pieces(ctx)]  # type: ignore[misc]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the line. An error of the parser tells bounds and types as words."""
        try:
            parsed: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        except Exception as error:
            if isinstance(message := getattr(error, "message", None), str):
                error.message = plain_words(message)  # type: ignore[attr-defined]
            raise
        return parsed


class HelpCommand(_PlainUsage, TyperCommand):
    """Command with plain help."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the description: running text is wrapped, indented lines stay as they are."""
        _write_text(formatter, self.help or "")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, each with the word for its value."""
        _write_parameters(self.get_params(ctx), ctx, formatter)


class HelpGroup(_PlainUsage, TyperGroup):
    """Group of commands with plain help, each under the heading that it was given."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the description: running text is wrapped, indented lines stay as they are."""
        _write_text(formatter, self.help or "")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the commands."""
        _write_parameters(self.get_params(ctx), ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first sentence of its description."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            if not command.hidden:
                heading = getattr(command, "rich_help_panel", None)
                sections.setdefault(str(heading or _OTHERS), []).append((name, _first_sentence(command.help or "")))
        width = max((len(name) for rows in sections.values() for name, _ in rows), default=0)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", text) for name, text in rows])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the end as it stands."""
        formatter.write(f"\n{self.epilog}\n" if self.epilog else "")


class RootGroup(HelpGroup):
    """The command itself, whose option `--url` may stand anywhere on the line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the line with `--url` moved to its beginning."""
        return super().parse_args(ctx, url_first(args))


def url_first(args: Iterable[str]) -> list[str]:
    """Return the arguments with `--url URL` and `--url=URL` before all others; after `--` nothing is an option. Without
    its value the option stays alone, so that the parser misses the value and nothing else."""
    found: list[str] = []
    others: list[str] = []
    rest = iter(args)
    for argument in rest:
        if argument == "--":
            others += [argument, *rest]
        elif argument.startswith(f"{_URL}="):
            found.append(argument)
        elif argument == _URL:
            if (value := next(rest, None)) is None:
                return [argument]
            found += [argument, value]
        else:
            others.append(argument)
    return [*found, *others]


def _write_text(formatter: Any, text: str) -> None:
    for paragraph in filter(None, inspect.cleandoc(text).split("\n\n")):
        formatter.write_paragraph()
        lines = paragraph.splitlines()
        if any(line.startswith(" ") for line in lines):
            formatter.write("".join(f"  {line}\n" for line in lines))
        else:
            with formatter.indentation():
                formatter.write_text(" ".join(lines))


def _write_parameters(parameters: Iterable[Any], ctx: Any, formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in parameters:
        if (record := parameter.get_help_record(ctx)) is not None:
            title = "Arguments" if parameter.param_type_name == "argument" else "Options"
            word = "" if title == "Arguments" else parameter.name.strip("_").upper()
            name = _TYPE.sub(word, record[0]).strip()
            sections[title].append((usage_piece(name) if title == "Arguments" else name, plain_words(record[1])))
    for title, rows in sections.items():
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows, col_max=_NAMES if formatter.width >= _WIDE else _FEW)


def _first_sentence(text: str) -> str:
    first = " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())
    sentence, stop, _ = first.partition(". ")
    return sentence + "." * bool(stop) if stop else first
