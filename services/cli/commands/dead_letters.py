"""`batchyard dead-letters list|show|replay|drop`: messages that no service could handle."""

from typing import Annotated, Any

import typer

from services.cli.parsing.options import JsonFlag

app = typer.Typer(
    no_args_is_help=True, help="List, replay or drop messages that no service could handle (for operators)."
)
Queue = Annotated[
    str, typer.Argument(metavar="QUEUE", help="The queue that they were sent to; see `dead-letters list`.")
]
Ids = Annotated[
    list[str] | None, typer.Option("--id", help="A dead letter, as `dead-letters list` names it; may be repeated.")
]
All = Annotated[bool, typer.Option("--all", help="Every dead letter of the queue.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="Largest number of them.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    queue: Annotated[str | None, typer.Option(help="Only the dead letters of this queue.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=100, help="Number of dead letters to show.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List dead letters: their number in each queue, and the reasons of the oldest ones."""
    import orjson
    from rich.text import Text

    from services.cli.client.session import out, use_api, write_json

    body = use_api(ctx, lambda client: client.get("/dead-letters", {"queue": queue, "limit": limit}))
    if json:
        write_json(body)
        return
    found = orjson.loads(body)
    console = out()
    if not found["queues"]:
        console.print("No dead letters.")
    for one in found["queues"]:
        console.print(Text(f"{one['queue']}: {one['count']}", "bold"))
        for letter in found["dead_letters"]:
            if letter["queue"] == one["queue"]:
                head = f"  {letter['id']}  {letter['at'] or ''}  {letter['type']}  {letter['bytes']} bytes"
                console.print(Text(head, no_wrap=True, overflow="ignore"))
                console.print(Text(f"    {letter['reason']}", "red"))
                console.print(Text(f"    {letter['body'][:100]}", "bright_black"))


@app.command()
def show(
    ctx: typer.Context,
    queue: Queue,
    letter: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `dead-letters list` names it.")],
) -> None:
    """Show a dead letter with its whole body, as JSON."""
    from services.cli.client.session import use_api, write_json

    write_json(use_api(ctx, lambda client: client.get(f"/dead-letters/{queue}/{letter}")))


@app.command()
def replay(
    ctx: typer.Context, queue: Queue, id_: Ids = None, all_: All = False, limit: Limit = 10_000, json: JsonFlag = False
) -> None:
    """Send dead letters back to their queue, to be handled again."""
    _work(ctx, queue, "replay", "sent back", {"ids": id_ or [], "all": all_, "limit": limit}, json=json)


@app.command()
def drop(
    ctx: typer.Context,
    queue: Queue,
    id_: Ids = None,
    all_: All = False,
    limit: Limit = 10_000,
    yes: Annotated[bool, typer.Option("--yes", help="Required, because dropped messages cannot be restored.")] = False,
    json: JsonFlag = False,
) -> None:
    """Delete dead letters for ever.

    [bold]Examples[/bold]

      batchyard dead-letters drop ingest.commands --id 3f2a… --yes
      batchyard dead-letters drop ingest.commands --all --yes
    """
    from services.cli.errors import BadInput

    if not yes:
        raise BadInput("Dropped messages cannot be restored.", "Add --yes to drop them.")
    _work(ctx, queue, "drop", "dropped", {"ids": id_ or [], "all": all_, "limit": limit}, json=json)


def _work(ctx: typer.Context, queue: str, action: str, words: str, document: dict[str, Any], *, json: bool) -> None:
    import orjson

    from services.cli.client.session import out, use_api, write_json
    from services.cli.errors import BadInput

    if document["all"] == bool(document["ids"]):
        raise BadInput("No dead letters are named.", "Name them with --id, or use --all.")
    body = use_api(ctx, lambda client: client.send_long_running("POST", f"/dead-letters/{queue}/{action}", document))
    if json:
        write_json(body)
    else:
        out().print(f"{queue}: {orjson.loads(body)['count']} {words}")
