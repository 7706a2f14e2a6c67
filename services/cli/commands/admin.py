"""`batchyard admin stuck|release|replay|erase`: batches that make no progress, remedies, and the erasure of owners."""

from typing import Annotated

import typer

from services.cli.commands.options import BatchId, JsonFlag
from services.cli.commands.plain_help import HelpCommand, HelpGroup

app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Help batches that make no progress, and erase owners (for operators).",
)
Reason = Annotated[str, typer.Option(help="Why; the owner of the batch reads it in the audit.")]
Owner = Annotated[str | None, typer.Option(help="Owner of the batch, if it is not yours.")]


@app.command(cls=HelpCommand)
def stuck(
    ctx: typer.Context,
    idle: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="Seconds without an outcome or change.")] = 60,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Largest number of batches.")] = 50,
    json: JsonFlag = False,
) -> None:
    """List unfinished batches of all owners without progress, each with the reasons.

    What to do about them

      batchyard why BATCH                    all that holds a batch back
      batchyard admin release BATCH ...      take its items back from workers
      batchyard admin replay BATCH ...       announce it again to all services
      batchyard dead-letters list            messages that were set aside
      batchyard finish BATCH ...             end it at once
    """
    from datetime import UTC, datetime

    import msgspec

    from services.cli.actions.session import connect
    from services.cli.client.stuck_documents import StuckList
    from services.cli.rendering.output import say, show, write_json
    from services.cli.rendering.stuck_table import stuck_lines

    body = connect(ctx, as_operator=True).get("/stuck", {"idle_s": idle, "limit": limit})
    if json:
        write_json(body)
        return
    found = msgspec.json.decode(body, type=StuckList).batches
    if not found:
        say("Every batch makes progress.")
    show(*stuck_lines(found, datetime.now(UTC)))


@app.command(cls=HelpCommand)
def release(ctx: typer.Context, batch: BatchId, reason: Reason, owner: Owner = None, json: JsonFlag = False) -> None:
    """Take the items of a batch back from their workers, as if these were lost, and run them again.

    Items that must not run twice fail as needs_review.
    """
    _remedy(ctx, batch, "release", reason, owner, "its items are taken back from their workers", json=json)


@app.command(cls=HelpCommand)
def replay(ctx: typer.Context, batch: BatchId, reason: Reason, owner: Owner = None, json: JsonFlag = False) -> None:
    """Send the messages again that announce a batch, and those that reopened its items."""
    _remedy(ctx, batch, "replay", reason, owner, "it is announced again", json=json)


@app.command(cls=HelpCommand)
def erase(
    ctx: typer.Context,
    owner: Annotated[str, typer.Argument(metavar="OWNER", help="Name of the owner.")],
    reason: Annotated[str | None, typer.Option(help="Why; it is in the audit, and should not name the owner.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Required, because nothing of it can be restored.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Only show how far the erasure is.")] = False,
    json: JsonFlag = False,
) -> None:
    """Erase an owner: all its batches in all services, then its schedules, templates, keys, limits and audit.

    Its keys are revoked at once. It must have no batch that has not ended. Wait
    until it is complete: --show.

    Examples

      batchyard admin erase ann --reason "contract ended" --yes
      batchyard admin erase ann --show
    """
    from urllib.parse import quote

    from services.cli.actions.session import connect
    from services.cli.errors import BadInput

    path = f"/owners/{quote(owner, safe='')}"
    if show:
        _write_erasure(connect(ctx, as_operator=True).get(f"{path}/erasure"), json=json)
        return
    if reason is None:
        raise BadInput("An erasure needs a reason.", "Add --reason, or --show to see how far one is.")
    if not yes:
        raise BadInput("What is erased cannot be restored.", "Add --yes to erase it.")
    body = connect(ctx, as_operator=True).send("POST", f"{path}/erase", {"reason": reason})
    _write_erasure(body, json=json)


def _write_erasure(body: bytes, *, json: bool) -> None:
    import msgspec

    from services.cli.rendering.deleted_rows import deleted_lines
    from services.cli.rendering.output import say, write_json

    if json:
        write_json(body)
        return
    found = msgspec.json.decode(body)
    for line in deleted_lines(found["deleted"]):
        say(line)
    say("complete" if found.get("completed_at") else "under way")


def _remedy(
    ctx: typer.Context, batch: str, remedy: str, reason: str, owner: str | None, words: str, *, json: bool
) -> None:
    from services.cli.actions.session import connect, connect_for, resolve
    from services.cli.rendering.output import say, write_json

    batch_id = resolve(connect(ctx), batch)
    api, owner = connect_for(ctx, owner)
    document = {"remedy": remedy, "reason": reason}
    body = api.send("POST", f"/batches/{batch_id}/remedies", document, {"owner": owner})
    if json:
        write_json(body)
    else:
        say(f"{batch_id}: {words}")
