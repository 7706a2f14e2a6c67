"""`batchyard dead-letters list|show|replay|drop`: messages that no service could handle."""

from typing import Annotated, Any

import typer

from services.cli.commands.options import JsonFlag
from services.cli.commands.plain_help import HelpCommand, HelpGroup

app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="List, replay or drop messages that no service could handle (for operators).",
)
Queue = Annotated[
    str, typer.Argument(metavar="QUEUE", help="The queue that they were sent to; see `dead-letters list`.")
]
Ids = Annotated[
    list[str] | None, typer.Option("--id", help="A dead letter, as `dead-letters list` names it; may be repeated.")
]
All = Annotated[bool, typer.Option("--all", help="Every dead letter of the queue.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="Largest number of them.")]


@app.command(cls=HelpCommand, name="list")
def list_(
    ctx: typer.Context,
    queue: Annotated[str | None, typer.Option(help="Only the dead letters of this queue.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=100, help="Number of dead letters to show.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List dead letters: their number in each queue, and the reasons of the oldest ones."""
    import msgspec
    from rich.text import Text

    from services.cli.actions.session import connect
    from services.cli.rendering.output import say, show, write_json

    body = connect(ctx, as_operator=True).get("/dead-letters", {"queue": queue, "limit": limit})
    if json:
        write_json(body)
        return
    found = msgspec.json.decode(body)
    if not found["queues"]:
        say("No dead letters.")
    for one in found["queues"]:
        show(Text(f"{one['queue']}: {one['count']}", "bold"))
        for letter in found["dead_letters"]:
            if letter["queue"] == one["queue"]:
                show(
                    Text(f"  {letter['id']}  {letter['at'] or ''}  {letter['type']}  {letter['bytes']} bytes"),
                    Text(f"    {letter['reason']}", "red"),
                    Text(f"    {letter['body'][:100]}", "bright_black"),
                )


@app.command(cls=HelpCommand, name="show")
def show_(
    ctx: typer.Context,
    queue: Queue,
    letter: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `dead-letters list` names it.")],
) -> None:
    """Show a dead letter with its whole body, as JSON."""
    from urllib.parse import quote

    from services.cli.actions.session import connect
    from services.cli.rendering.output import write_json

    write_json(connect(ctx, as_operator=True).get(f"/dead-letters/{quote(queue, safe='')}/{quote(letter, safe='')}"))


@app.command(cls=HelpCommand)
def replay(
    ctx: typer.Context, queue: Queue, id_: Ids = None, all_: All = False, limit: Limit = 10_000, json: JsonFlag = False
) -> None:
    """Send dead letters back to their queue, to be handled again."""
    _work(ctx, queue, "replay", "sent back", {"ids": id_ or [], "all": all_, "limit": limit}, json=json)


@app.command(cls=HelpCommand)
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

    Examples

      batchyard dead-letters drop ingest.commands --id 3f2a… --yes
      batchyard dead-letters drop ingest.commands --all --yes
    """
    from services.cli.errors import BadInput

    if not yes:
        raise BadInput("Dropped messages cannot be restored.", "Add --yes to drop them.")
    _work(ctx, queue, "drop", "dropped", {"ids": id_ or [], "all": all_, "limit": limit}, json=json)


def _work(ctx: typer.Context, queue: str, action: str, words: str, document: dict[str, Any], *, json: bool) -> None:
    from urllib.parse import quote

    import msgspec

    from services.cli.actions.session import connect
    from services.cli.client.api import LONG_ANSWER_S
    from services.cli.errors import BadInput
    from services.cli.rendering.output import say, write_json

    if document["all"] and document["ids"]:
        raise BadInput("--id and --all exclude each other.", "Give one of them.")
    if not document["all"] and not document["ids"]:
        raise BadInput("No dead letters are named.", "Name them with --id, or use --all.")
    path = f"/dead-letters/{quote(queue, safe='')}/{action}"
    body = connect(ctx, as_operator=True).send("POST", path, document, answer_s=LONG_ANSWER_S)
    if json:
        write_json(body)
    else:
        say(f"{queue}: {msgspec.json.decode(body)['count']} {words}")
