"""Action of `batchyard watch`: shows the progress of a batch until its end, which decides the exit code."""

import asyncio

import typer
from rich.text import Text

from services.cli.client.follow import Snapshot, follow
from services.cli.client.http_client import HttpClient
from services.cli.exit_codes import Exit
from services.cli.rendering.output import err, note, write_json
from services.cli.rendering.progress_bar import Progress
from services.cli.rendering.tables import STOPPED, summary_rows


async def watch_batch(client: HttpClient, batch_id: str, title: str, *, json: bool) -> None:
    """Show the progress of a batch until its end. Raises `typer.Exit` with 1 unless every item succeeded."""
    try:
        end = await _follow(client, batch_id, title, json=json)
    except asyncio.CancelledError:  # Ctrl-C
        note(f"The batch goes on. Watch it again: batchyard watch {batch_id}")
        raise
    if end and not json:
        for name, words in summary_rows(end.summary, end.summary_error):
            err().print(Text(f"  {name}: {words}"), soft_wrap=True)
    if end is None or end.result != "completed":
        if not json:
            if end and end.stopped:
                note(f"It was stopped: {STOPPED.get(end.stopped, end.stopped)}.")
            note(f"Causes: `batchyard failures {batch_id}`. Run them again: `batchyard retry {batch_id}`.")
        raise typer.Exit(Exit.BATCH_FAILED)


async def _follow(client: HttpClient, batch_id: str, title: str, *, json: bool) -> Snapshot | None:
    end: Snapshot | None = None
    with Progress(err(), title).shown() as progress:
        async for snapshot in follow(client, batch_id):
            if json:
                write_json(snapshot.document)
            else:
                progress.draw(snapshot)
            end = snapshot
    return end
