"""`batchyard pause`, `resume`, `cancel`, `delete`, `retry`, `accept-results`, `priority`, `change`: control batches."""

from typing import Annotated, Any

import typer

from services.cli.commands.options import (
    BatchId,
    Concurrency,
    Deadline,
    FailureThreshold,
    JsonFlag,
    NotBefore,
    PriorityName,
    RateLimit,
    RetryableStatus,
    RetryRules,
    TermName,
    Weight,
)

ItemNames = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NUMBER|CUSTOM_ID",
        help="Only this item, by its number or its custom id. A custom id of digits is written as custom:7.",
    ),
]


def pause(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Pause a batch: running items end, no more start."""
    _control(ctx, batch, "POST", "/pause", "pausing", json=json)


def resume(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Resume a paused batch."""
    _control(ctx, batch, "POST", "/resume", "resuming", json=json)


def cancel(ctx: typer.Context, batch: BatchId, json: JsonFlag = False) -> None:
    """Cancel a batch. Its results so far are kept."""
    _control(ctx, batch, "POST", "/cancel", "cancelling", json=json)


def finish(
    ctx: typer.Context,
    batch: BatchId,
    reason: Annotated[str, typer.Option(help="Why; the owner of the batch reads it in the audit.")],
    owner: Annotated[str | None, typer.Option(help="Owner of the batch, if it is not yours.")] = None,
    json: JsonFlag = False,
) -> None:
    """End a batch at once, whatever its workers do (for operators). Its results so far are kept."""
    document = {"reason": reason}
    _control(ctx, batch, "POST", "/finish", "ending", document, as_operator=True, owner=owner, json=json)


def delete(
    ctx: typer.Context,
    batch: BatchId,
    yes: Annotated[bool, typer.Option("--yes", help="Required, because a deleted batch cannot be restored.")] = False,
    owner: Annotated[str | None, typer.Option(help="Owner of the batch, for operators.")] = None,
    json: JsonFlag = False,
) -> None:
    """Delete a batch that has ended, with its items, results, failures and notifications, in all services.

    It waits until every service has deleted its part, and shows what was deleted.
    """
    from services.cli.actions.deletion import delete_batch

    delete_batch(ctx, batch, owner, yes=yes, json=json)


def retry(
    ctx: typer.Context,
    batch: BatchId,
    cause: Annotated[list[str] | None, typer.Option(help="Only this cause, as `failures` names it.")] = None,
    code: Annotated[list[str] | None, typer.Option(help="Only this error code.")] = None,
    partition: Annotated[list[str] | None, typer.Option(help="Only items of this partition, such as a host.")] = None,
    status: Annotated[list[RetryableStatus] | None, typer.Option(help="Only items with this status.")] = None,
    item: ItemNames = None,
    patch: Annotated[
        str | None, typer.Option(metavar="FILE|JSON", help="Change the payloads first: a JSON Patch (RFC 6902).")
    ] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out items that the patch does not apply to, or makes invalid.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, and show the items that would run.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Run items of a finished batch again that did not succeed, in a new round of the batch.

    Without options these are all items that failed, expired or were cancelled.
    Items that failed as needs_review, whose call may have been paid for, run again
    only if --code, --cause or --item names them.
    Each option may be repeated; different options narrow the selection.

    Examples

      batchyard failures last
      batchyard retry last --code not_found --dry-run
      batchyard retry last --item 7 --patch '{"op": "replace", "path": "/url", "value": "https://…"}'
    """
    from services.cli.actions.retry import RetrySelection, retry_batch

    selection = RetrySelection(
        causes=cause or [],
        codes=code or [],
        partitions=partition or [],
        statuses=[one.value for one in status or []],
        items=item or [],
        patch=patch,
        skip_invalid=skip_invalid,
        dry_run=dry_run,
    )
    retry_batch(ctx, batch, selection, json=json)


def accept_results(
    ctx: typer.Context,
    batch: BatchId,
    reason: Annotated[str, typer.Option(help="Why the results are right; it is in the audit.")],
    item: ItemNames = None,
    json: JsonFlag = False,
) -> None:
    """Accept results of a finished batch that were refused as invalid_result.

    The items succeed with the results that are kept beside their errors, in a new
    round of the batch in which nothing runs. Without --item all of the batch do.

    Examples

      batchyard results last --code invalid_result
      batchyard accept-results last --item 7 --reason "the site has a new field"
    """
    import msgspec

    from services.cli.actions.session import connect, resolve
    from services.cli.parsing.item_names import split_names
    from services.cli.rendering.counted import counted
    from services.cli.rendering.output import say, write_json

    api = connect(ctx)
    batch_id = resolve(api, batch)
    document = {name: value for name, value in split_names(item or ()).items() if value} | {"reason": reason}
    body = api.send("POST", f"/batches/{batch_id}/accept-results", document)
    if json:
        write_json(body)
    else:
        count = msgspec.json.decode(body).get("accepted") or 0
        say(f"{batch_id}: accepting {counted(count, 'result')}")


def priority(
    ctx: typer.Context,
    batch: BatchId,
    level: Annotated[PriorityName, typer.Argument(help="The new priority.")],
    json: JsonFlag = False,
) -> None:
    """Change the priority of a batch's remaining items."""
    _control(ctx, batch, "PATCH", "", f"priority {level.value}", {"priority": level.value}, json=json)


def change(
    ctx: typer.Context,
    batch: BatchId,
    priority: Annotated[PriorityName | None, typer.Option(help="Priority of the batch.")] = None,
    weight: Weight = None,
    rate: RateLimit = None,
    concurrency: Concurrency = None,
    not_before: NotBefore = None,
    deadline: Deadline = None,
    failure_threshold: FailureThreshold = None,
    retry: RetryRules = None,
    clear: Annotated[list[TermName] | None, typer.Option(help="Remove a term; may be repeated.")] = None,
    json: JsonFlag = False,
) -> None:
    """Change the priority and the terms of a running batch. Changes apply to chunks dispatched afterwards.

    Terms that are not named stay. The bounds of --failure-threshold and the rules
    of --retry replace all earlier ones.

    Examples

      batchyard change last --priority immediate
      batchyard change last --rate 20/s --deadline 2h --failure-threshold 10%
      batchyard change last --retry http_503=6,2s,5min --retry captcha=1
      batchyard change last --not-before 2026-12-24T18:00
      batchyard change last --clear rate
    """
    from datetime import UTC, datetime

    from services.cli.errors import BadInput
    from services.cli.parsing.terms import TermOptions

    options = TermOptions(
        weight, rate, concurrency, deadline, failure_threshold or (), retry=retry or (), not_before=not_before
    )
    document = options.fields(datetime.now(UTC))
    if priority:
        document["priority"] = priority.value
    if clear:
        document["clear"] = [name.value for name in clear]
    if not document:
        raise BadInput("No change is given.", "Give a priority or a term, or --clear; see `batchyard change --help`.")
    _control(ctx, batch, "PATCH", "", "changed", document, json=json)


def _control(
    ctx: typer.Context,
    batch: str,
    method: str,
    path: str,
    words: str,
    document: Any = None,
    *,
    as_operator: bool = False,
    owner: str | None = None,
    json: bool,
) -> None:
    import msgspec

    from services.cli.actions.session import connect, connect_for, resolve
    from services.cli.rendering.output import say, write_json

    api = connect(ctx)
    batch_id = resolve(api, batch)
    if as_operator:
        api, owner = connect_for(ctx, owner)
    body = api.send(method, f"/batches/{batch_id}{path}", document, {"owner": owner} if owner else None)
    if json:
        write_json(body)
    elif summary := msgspec.json.decode(body).get("cancelled"):
        say(f"{batch_id}: {words}. {_summary_words(**summary)}")
    elif msgspec.json.decode(body).get("finished"):
        say(f"{batch_id}: {words}. It has finished: that holds if you retry it")
    else:
        say(f"{batch_id}: {words}")


def _summary_words(stopped: int, kept: int, running: int, **_: object) -> str:
    from services.cli.rendering.counted import counted

    stop, keep, run = (counted(number, "item") for number in (stopped, kept, running))
    return f"{stop} stopped, {keep} kept with their outcomes, {run} still running"
