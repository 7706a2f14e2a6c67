"""The work of `batchyard recommend`: reads jobs and contractors, asks for the best, shows what scores are made of."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.recommendations import JobRecommendations, Recommendation, RecommendationsReply
from services.cli.client.session import out, use_api, write_json
from services.cli.errors import BadInput

_NEXT = 'Give a file, `-`, or JSON like {"jobs": [{"id": "j", "lat": 39.7, "lon": -105}], "contractors": [ … ]}.'


def recommend_contractors(ctx: typer.Context, source: str, limit: int | None, *, json: bool) -> None:
    """Ask, and show the answer."""
    document = _read(source)
    if limit is not None:
        document["limit"] = limit
    body = use_api(ctx, lambda client: client.send("POST", "/recommendations", document))
    if json:
        write_json(body)
    else:
        out().print(reply_view(RecommendationsReply.decode(body)))


def reply_view(reply: RecommendationsReply) -> RenderableType:
    """A table for each job, and why others are not in it."""
    parts: list[RenderableType] = []
    for job in reply.jobs:
        parts += [Text(job.job_id, "bold"), _table(job.recommended) if job.recommended else Text("  Nobody fits.")]
        if job.others:
            parts.append(Text(f"  {job.others} more would do too"))
        parts += [Text(f"  {line}", "bright_black") for line in _left_out(job)]
    if not reply.in_time:
        parts.append(Text(f"{reply.provider} did not answer in time: these are estimates.", "yellow"))
    return Group(*parts)


def _table(recommended: list[Recommendation]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("", "contractor", "score", "travel", "way", "made of"):
        table.add_column(name, justify="right" if name in {"score", "travel", "way"} else "left")
    for place, one in enumerate(recommended, 1):
        travel = one.travel
        estimated = "~" if travel.method == "geodesic estimate" else ""
        made_of = ", ".join(f"{name} {part.value:.2f} x {part.weight:.2f}" for name, part in one.parts.items())
        table.add_row(
            str(place), Text(one.contractor_id), f"{one.score:.3f}", f"{estimated}{travel.seconds / 60:.0f} min",
            f"{estimated}{travel.metres / 1000:.1f} km", made_of,
        )  # fmt: skip
    return table


def _left_out(job: JobRecommendations) -> list[str]:
    counts = Counter(one.reason for one in job.excluded)
    first = {one.reason: f"{one.contractor_id}: {one.detail}" for one in reversed(job.excluded)}
    return [f"{count} {reason.replace('_', ' ')} ({first[reason]})" for reason, count in counts.most_common()]


def _read(source: str) -> dict[str, Any]:
    try:
        document = orjson.loads(_text(source))
    except orjson.JSONDecodeError as error:
        raise BadInput(f"The question is not JSON: {error}.", _NEXT) from error
    if not isinstance(document, dict):
        raise BadInput("The question is not a JSON object.", _NEXT)
    return document


def _text(source: str) -> bytes:
    if source.lstrip().startswith("{"):
        return source.encode()
    try:
        if source == "-":
            text = sys.stdin.buffer.read(MAX_MESSAGE_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                text = file.read(MAX_MESSAGE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror}.", _NEXT) from error
    if len(text) > MAX_MESSAGE_BYTES:
        raise BadInput(f"A question has at most {MAX_MESSAGE_BYTES} bytes.", "Ask for fewer jobs at a time.")
    return text
