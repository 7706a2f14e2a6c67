"""The work of `batchyard watch`: draws a batch until it has ended, and turns its end into an exit code."""

import typer
from rich.text import Text

from services.cli.client.follow import Snapshot, follow
from services.cli.client.http_client import HttpClient
from services.cli.client.session import err, write_json
from services.cli.exit_codes import Exit
from services.cli.rendering.progress_bar import Progress
from services.cli.rendering.tables import STOPPED, summary_rows


async def watch_batch(client: HttpClient, batch_id: str, title: str, *, json: bool) -> None:
    """Stay until the batch has ended. Raises `typer.Exit` with 1 unless every item succeeded."""
    end: Snapshot | None = None
    with Progress(err(), title).shown() as progress:
        async for snapshot in follow(client, batch_id):
            if json:
                write_json(snapshot.document)
            else:
                progress.draw(snapshot)
            end = snapshot
    if end and not json:
        for name, words in summary_rows(end.summary, end.summary_error):
            err().print(Text(f"  {name}: {words}"), soft_wrap=True)
    if end is None or end.result != "completed":
        if not json:
            if end and end.stopped:
                err().print(f"It was stopped: {STOPPED[end.stopped]}.", soft_wrap=True)
            hint = f"Causes: `batchyard failures {batch_id}`. Run them again: `batchyard retry {batch_id}`."
            err().print(hint, soft_wrap=True)
        raise typer.Exit(Exit.BATCH_FAILED)
