"""Action of `batchyard ask`: reads the request, asks the workload, and prints the answer."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import typer

from batchyard_contracts.v1.queries import MAX_QUESTION_BYTES
from services.cli.actions.session import connect
from services.cli.errors import BadInput
from services.cli.parsing.json_text import as_utf8, read_json
from services.cli.rendering.output import write_bytes, write_json

_NEXT = 'Give a file, `-`, or a JSON object such as \'{"text": "so much to do"}\'.'


def ask_workload(ctx: typer.Context, workload: str, question: str, source: str, *, json: bool) -> None:
    """Ask, and print the answer: indented, or as one line of JSON."""
    document = _read(source)
    path = f"/workloads/{quote(workload, safe='')}/questions/{quote(question, safe='')}"
    body = connect(ctx).send("POST", path, document)
    if json:
        write_json(body)
    else:
        write_bytes(msgspec.json.format(body, indent=2) + b"\n")


def _read(source: str) -> dict[str, Any]:
    document = read_json(as_utf8(_text(source)), "The request", _NEXT)
    if not isinstance(document, dict):
        raise BadInput("The request is not a JSON object.", _NEXT)
    return document


def _text(source: str) -> bytes:
    if source.lstrip().startswith("{"):
        return source.encode()
    try:
        if source == "-":
            text = sys.stdin.buffer.read(MAX_QUESTION_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                text = file.read(MAX_QUESTION_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror}.", _NEXT) from error
    if len(text) > MAX_QUESTION_BYTES:
        raise BadInput(f"A question has at most {MAX_QUESTION_BYTES} bytes.", "Ask for less at a time.")
    return text
