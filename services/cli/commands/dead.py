"""`batchyard dead list|show|replay|drop`: messages that no service could handle."""

from typing import Annotated, Any

import typer

from services.cli.parsing.options import JsonFlag

dead = typer.Typer(no_args_is_help=True, help="Work messages that no service could handle (for operators).")
Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="The queue that they were meant for; see `dead list`.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="A letter, as `dead list` names it; may be repeated.")]
All = Annotated[bool, typer.Option("--all", help="Every letter of the queue.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]


@dead.command("list")
def list_(
    ctx: typer.Context,
    queue: Annotated[str | None, typer.Option(help="Only the letters of this queue.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=100, help="How many letters to show.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List dead letters: how many each queue has, and why the oldest could not be handled."""
    import orjson
    from rich.text import Text

    from services.cli.client.session import at_yard, out, write_json

    body = at_yard(ctx, lambda door: door.get("/dead-letters", {"queue": queue, "limit": limit}))
    if json:
        write_json(body)
        return
    found = orjson.loads(body)
    console = out()
    if not found["queues"]:
        console.print("No dead letters.")
    for one in found["queues"]:
        console.print(Text(f"{one['queue']}: {one['count']}", "bold"))
        for letter in found["letters"]:
            if letter["queue"] == one["queue"]:
                head = f"  {letter['id']}  {letter['at'] or ''}  {letter['type']}  {letter['bytes']} bytes"
                console.print(Text(head, no_wrap=True, overflow="ignore"))
                console.print(Text(f"    {letter['reason']}", "red"))
                console.print(Text(f"    {letter['body'][:100]}", "bright_black"))


@dead.command()
def show(
    ctx: typer.Context,
    queue: Queue,
    letter: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `dead list` names it.")],
) -> None:
    """Show a letter whole, as JSON."""
    from services.cli.client.session import at_yard, write_json

    write_json(at_yard(ctx, lambda door: door.get(f"/dead-letters/{queue}/{letter}")))


@dead.command()
def replay(
    ctx: typer.Context, queue: Queue, id_: Ids = None, all_: All = False, limit: Limit = 10_000, json: JsonFlag = False
) -> None:
    """Send letters back to the queue that they came from, to be handled again."""
    _work(ctx, queue, "replay", "sent back", {"ids": id_ or [], "all": all_, "limit": limit}, json=json)


@dead.command()
def drop(
    ctx: typer.Context,
    queue: Queue,
    id_: Ids = None,
    all_: All = False,
    limit: Limit = 10_000,
    yes: Annotated[bool, typer.Option("--yes", help="Needed: what is dropped is gone for ever.")] = False,
    json: JsonFlag = False,
) -> None:
    """Delete letters for ever.

    [bold]Examples[/bold]

      batchyard dead drop ingest.commands --id 3f2a… --yes
      batchyard dead drop ingest.commands --all --yes
    """
    from services.cli.errors import BadInput

    if not yes:
        raise BadInput("What is dropped is gone for ever.", "Say --yes if that is meant.")
    _work(ctx, queue, "drop", "dropped", {"ids": id_ or [], "all": all_, "limit": limit}, json=json)


def _work(ctx: typer.Context, queue: str, action: str, words: str, document: dict[str, Any], *, json: bool) -> None:
    import orjson

    from services.cli.client.session import at_yard, out, write_json
    from services.cli.errors import BadInput

    if document["all"] == bool(document["ids"]):
        raise BadInput("Which letters?", "Name them with --id, or say --all.")
    body = at_yard(ctx, lambda door: door.send_slowly("POST", f"/dead-letters/{queue}/{action}", document))
    if json:
        write_json(body)
    else:
        out().print(f"{queue}: {orjson.loads(body)['done']} {words}")
