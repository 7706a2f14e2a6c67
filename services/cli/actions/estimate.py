"""Action of `batchyard submit --estimate`: prints when the batch would end, or waits for the result of its source."""

from collections.abc import Awaitable
from datetime import UTC, datetime

import msgspec
import typer

from batchyard_contracts.v1.values import ItemResult
from services.cli.client.estimate_documents import Estimate
from services.cli.client.follow import follow
from services.cli.client.http_client import HttpClient
from services.cli.errors import CliError
from services.cli.exit_codes import Exit
from services.cli.rendering.estimate_lines import estimate_lines
from services.cli.rendering.output import note, say, write_json


async def show_estimate(client: HttpClient, batch_id: str, title: str, *, json: bool) -> None:
    """Print the result of the source. Raises `typer.Exit` with 1 when there is none."""
    async for snapshot in follow(client, batch_id):
        if snapshot.result is not None:
            break
    (first,) = msgspec.json.decode(await client.get(f"/batches/{batch_id}/results", {"limit": 1}))
    answer = ItemResult.model_validate(first)
    if answer.status != "succeeded":
        why = answer.error.message or answer.error.code if answer.error else answer.status
        note(f"{title}: no estimate. {why}")
        raise typer.Exit(Exit.BATCH_FAILED)
    if json:
        write_json(answer.result)
        return
    note(f"{title}: an estimate; nothing runs.")
    found = answer.result if isinstance(answer.result, dict) else {"result": answer.result}
    width = max(map(len, found), default=0)
    for name, value in found.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        say(f"{name.replace('_', ' '):<{width}}  {text}")


def print_estimate(body: bytes, *, json: bool) -> None:
    """Print the end that a batch would have."""
    if json:
        write_json(msgspec.json.decode(body))
        return
    first, *rest = estimate_lines(msgspec.json.decode(body, type=Estimate), datetime.now(UTC))
    say(first)
    for line in rest:
        say(f"  {line}")


async def note_outlook(estimating: Awaitable[bytes]) -> None:
    """Tell before a submission whether the batch will end by its deadline. Without an answer nothing is told, since the
    submission itself says what is wrong."""
    try:
        found = msgspec.json.decode(await estimating, type=Estimate)
    except CliError:
        return
    for line in estimate_lines(found, datetime.now(UTC)):
        note(line)
