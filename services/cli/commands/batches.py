"""`batchyard list`, `overview`, `show`, `why`, `watch` and `failures`: the state of batches."""

from typing import Annotated

import typer

from services.cli.commands.completion import workload_names
from services.cli.commands.options import BatchId, JsonFlag, PriorityName, StateName


def list_(
    ctx: typer.Context,
    status: Annotated[
        list[StateName] | None, typer.Option(help="Only batches in this state; may be repeated: any of them.")
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search", "-q", metavar="TEXT", help="Part of the name or of a label, or the beginning of the id."
        ),
    ] = None,
    priority: Annotated[
        list[PriorityName] | None, typer.Option(help="Only batches of this priority; may be repeated: any of them.")
    ] = None,
    workload: Annotated[
        str | None, typer.Option(help="Only batches of this workload.", autocompletion=workload_names)
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Only batches whose name contains this.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only batches with this label; may be repeated.")
    ] = None,
    metadata: Annotated[
        str | None, typer.Option(metavar="JSON", help="Only batches whose metadata has this JSON object in it.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only batches accepted from this time on: 2026-12-24T18:00.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only batches accepted before this time.")] = None,
    oldest: Annotated[
        bool, typer.Option("--oldest-first", help="The one that was accepted first comes first.")
    ] = False,
    before: Annotated[str | None, typer.Option(metavar="BATCH", help="Only batches older than this one.")] = None,
    after: Annotated[str | None, typer.Option(metavar="BATCH", help="Only batches younger than this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Largest number of batches.")] = 20,
    all_: Annotated[bool, typer.Option("--all", help="Batches of all owners (for operators).")] = False,
    json: JsonFlag = False,
) -> None:
    """List batches, the one that was accepted last first."""
    from services.cli.actions.batches import list_batches
    from services.cli.parsing.label import label_of
    from services.cli.parsing.terms import moment_of

    for text in label or []:
        label_of(text)
    query = {
        "state": [each.value for each in status or []],
        "q": search,
        "priority": [each.value for each in priority or []],
        "workload": workload,
        "name": name,
        "label": label or [],
        "metadata": metadata,
        "accepted_from": moment_of(since),
        "accepted_before": moment_of(until),
        "sort": "oldest" if oldest else None,
        "limit": limit,
    }
    list_batches(ctx, query, before, after, all_owners=all_, json=json)


def overview(
    ctx: typer.Context,
    owner: Annotated[str | None, typer.Option(metavar="OWNER", help="For operators: only this owner.")] = None,
    json: JsonFlag = False,
) -> None:
    """Show what runs, what needs somebody, whether all services work, and the batches that ended last.

    Each line on what needs somebody comes with the command that shows more.
    """
    from services.cli.actions.overview import show_overview

    show_overview(ctx, owner, json=json)


def show(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Show one batch: its state, counts, terms and duration, and the reason why it was stopped."""
    from services.cli.actions.batches import show_batch

    show_batch(ctx, batch, json=json)


def why(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Show what holds back the items of a batch: limits of its destinations, retries, a pause, busy workers.

    The reason that holds back most comes first. A batch of which some items run
    has reasons, too: those for which it is not faster.
    """
    from services.cli.actions.batches import show_reasons

    show_reasons(ctx, batch, json=json)


def log(
    ctx: typer.Context,
    batch: BatchId,
    before: Annotated[str | None, typer.Option(metavar="TIME", help="Only what happened before this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Largest number of entries, the newest.")] = 50,
    json: JsonFlag = False,
) -> None:
    """Show what happened to a batch: its acceptance, start and end, commands and who gave them, changes of the rates
    and circuits of its destinations."""
    from services.cli.actions.batches import show_timeline
    from services.cli.parsing.terms import moment_of

    show_timeline(ctx, batch, moment_of(before), limit, json=json)


def watch(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Watch a batch until it has finished: exit code 0 if it completed, else 1."""
    from services.cli.actions.session import connect, resolve, use_api
    from services.cli.actions.watch import watch_batch

    batch_id = resolve(connect(ctx), batch)
    use_api(ctx, lambda client: watch_batch(client, batch_id, batch_id, json=json))


def failures(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Show the failures of a batch, grouped by cause, and the command that retries each group.

    A cause consists of the error code, the message without numbers, ids and
    addresses, and the partition: the destination of the items.
    """
    from services.cli.actions.batches import show_failures

    show_failures(ctx, batch, json=json)
