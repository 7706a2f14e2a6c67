"""`batchyard pause`, `resume`, `cancel`, `retry`, `priority` and `change`: steer a batch."""

from typing import Annotated, Any

import typer

from services.cli.parsing.options import (
    AtOnce,
    BatchId,
    Deadline,
    EndedBadly,
    FailAfter,
    JsonFlag,
    Pace,
    PriorityName,
    RetryBy,
    TermName,
    Weight,
)


def pause(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Pause a batch: what runs ends, nothing more is given out."""
    _steer(ctx, batch, "POST", "/pause", "pausing", json=json)


def resume(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Go on with a paused batch."""
    _steer(ctx, batch, "POST", "/resume", "going on", json=json)


def cancel(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Cancel a batch. Results that were made before are kept."""
    _steer(ctx, batch, "POST", "/cancel", "cancelling", json=json)


def retry(
    ctx: typer.Context,
    batch: BatchId,
    cause: Annotated[list[str] | None, typer.Option(help="Only this cause, as `failures` names it.")] = None,
    code: Annotated[list[str] | None, typer.Option(help="Only this error code.")] = None,
    partition: Annotated[list[str] | None, typer.Option(help="Only this partition.")] = None,
    status: Annotated[list[EndedBadly] | None, typer.Option(help="Only what ended so.")] = None,
    item: Annotated[
        list[str] | None, typer.Option(metavar="ORDINAL|CUSTOM_ID", help="Only this item; `custom:7` is no ordinal.")
    ] = None,
    patch: Annotated[
        str | None, typer.Option(metavar="FILE|JSON", help="Change the payloads first: a JSON Patch (RFC 6902).")
    ] = None,
    skip_unfit: Annotated[bool, typer.Option("--skip-unfit", help="Leave out what the patch does not fit.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would run.")] = False,
    json: JsonFlag = False,
) -> None:
    """Run what did not succeed in a finished batch once more, as a new round of the same batch.

    Without options that is everything that failed, expired or was cancelled.
    Each option may be repeated; different ones narrow the choice. What
    succeeded is left alone.

    [bold]Examples[/bold]

      batchyard failures last
      batchyard retry last --code not_found --dry-run
      batchyard retry last --item 7 --patch '{"op": "replace", "path": "/url", "value": "https://…"}'
    """
    from services.cli.actions.retry import Wanted, retry_batch

    wanted = Wanted(
        causes=cause or [],
        codes=code or [],
        partitions=partition or [],
        statuses=[one.value for one in status or []],
        items=item or [],
        patch=patch,
        skip_unfit=skip_unfit,
        dry_run=dry_run,
    )
    retry_batch(ctx, batch, wanted, json=json)


def priority(
    ctx: typer.Context,
    batch: BatchId,
    level: Annotated[PriorityName, typer.Argument(help="The new priority.")],
    json: JsonFlag = False,
) -> None:
    """Change the priority of what a batch has still to do."""
    _steer(ctx, batch, "PATCH", "", f"priority {level.value}", {"priority": level.value}, json=json)


def change(
    ctx: typer.Context,
    batch: BatchId,
    priority: Annotated[PriorityName | None, typer.Option(help="Which batches go first.")] = None,
    weight: Weight = None,
    rate: Pace = None,
    concurrency: AtOnce = None,
    deadline: Deadline = None,
    fail_after: FailAfter = None,
    retry: RetryBy = None,
    clear: Annotated[list[TermName] | None, typer.Option(help="Take a term back; may be repeated.")] = None,
    json: JsonFlag = False,
) -> None:
    """Change how a batch runs, while it does. What has not started follows at once.

    What is not named stays as it is. The bounds of --fail-after, and likewise
    the rules of --retry, take the place of all that were given before.

    [bold]Examples[/bold]

      batchyard change last --priority immediate
      batchyard change last --rate 20/s --deadline 2h --fail-after 10%
      batchyard change last --retry http_503=6,2s,5min --retry captcha=1
      batchyard change last --clear rate
    """
    from datetime import UTC, datetime

    from services.cli.errors import BadInput
    from services.cli.parsing.terms import Said

    said = Said(weight, rate, concurrency, deadline, fail_after or (), retry=retry or ())
    document = said.fields(datetime.now(UTC))
    if priority:
        document["priority"] = priority.value
    if clear:
        document["clear"] = [name.value for name in clear]
    if not document:
        raise BadInput("Nothing is to change.", "Give a priority or a term, or --clear; see `batchyard change --help`.")
    _steer(ctx, batch, "PATCH", "", "changed", document, json=json)


def _steer(
    ctx: typer.Context, batch: str, method: str, path: str, words: str, document: Any = None, *, json: bool
) -> None:
    import orjson

    from services.cli.client.http_client import Door
    from services.cli.client.session import at_yard, out, resolve, write_json

    async def use(door: Door) -> None:
        batch_id = await resolve(door, batch)
        body = await door.send(method, f"/batches/{batch_id}{path}", document)
        if json:
            write_json(body)
        elif orjson.loads(body).get("finished"):
            out().print(f"{batch_id}: {words}. It has finished: that holds if you retry it", soft_wrap=True)
        else:
            out().print(f"{batch_id}: {words}")

    at_yard(ctx, use)
