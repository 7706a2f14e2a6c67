"""Generator of files from the messages: `python -m batchyard_contracts.schema.export [--check] [--to FOLDER]`.

It writes a JSON Schema for each message under `schemas/`, and `asyncapi.json`. With `--check` it writes nothing, names
the files that differ, and exits with 1 if there are any.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchyard_contracts.schema import asyncapi
from batchyard_contracts.schema.message_schema import schema_of
from batchyard_contracts.v1 import MESSAGES

SCHEMAS = "schemas"
HOME = Path(__file__).parents[2]
"""Folder of the generated files, beside the package in its source tree."""


def files() -> Mapping[str, str]:
    """Texts of the generated files, by their path below `contracts/`."""
    schemas = {f"{SCHEMAS}/{name}.json": _text(schema_of(kind)) for name, kind in sorted(MESSAGES.items())}
    return {**schemas, "asyncapi.json": _text(asyncapi.document())}


def differing_files(home: Path) -> list[str]:
    """Names of the generated files that are missing, changed, or no longer generated."""
    wanted = files()
    changed = [name for name, text in wanted.items() if not (home / name).is_file() or _read(home / name) != text]
    left_over = [
        f"{SCHEMAS}/{path.name}"
        for path in sorted((home / SCHEMAS).glob("*.json"))
        if f"{SCHEMAS}/{path.name}" not in wanted
    ]
    return changed + left_over


def write(home: Path) -> None:
    """Write the generated files, and remove those of messages that no longer exist."""
    wanted = files()
    (home / SCHEMAS).mkdir(parents=True, exist_ok=True)
    for name in differing_files(home):
        if name in wanted:
            (home / name).write_text(wanted[name], "utf-8", newline="\n")
        else:
            (home / name).unlink()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""

    parser = argparse.ArgumentParser(prog="python -m batchyard_contracts.schema.export", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file differs")
    parser.add_argument("--to", type=Path, default=HOME, help="the folder to write into (default: %(default)s)")
    options = parser.parse_args(arguments)
    found = differing_files(options.to)
    if not options.check:
        write(options.to)
    for name in found:
        sys.stdout.write(f"{'differs' if options.check else 'written'}: {name}\n")
    if options.check and found:
        sys.stdout.write("Run `python -m batchyard_contracts.schema.export` and commit what it writes.\n")
    return 1 if options.check and found else 0


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _read(path: Path) -> str:
    return path.read_text("utf-8")


if __name__ == "__main__":
    sys.exit(main())
