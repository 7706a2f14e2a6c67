"""`batchyard submit`: hand in a batch, and stay to watch it if asked."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.parsing.items import Format
from services.cli.parsing.options import (
    AtOnce,
    CachePolicy,
    Deadline,
    DedupMode,
    FailAfter,
    JsonFlag,
    Pace,
    PriorityName,
    RetryBy,
    Weight,
)


def submit(
    ctx: typer.Context,
    workload: Annotated[str, typer.Argument(help="What to run on every item; see `batchyard workloads`.")],
    file: Annotated[
        Path | None, typer.Argument(help="JSON list, NDJSON or CSV; - reads standard input.", allow_dash=True)
    ] = None,
    item: Annotated[
        list[str] | None, typer.Option(help="An item as JSON, in place of a file; may be repeated.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the workload is to find its items by, as a JSON object; - reads it.",
            allow_dash=True,
        ),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="With --source: say what the batch would be, and run none of it.")
    ] = False,
    format_: Annotated[Format | None, typer.Option("--format", help="When the file's name does not tell.")] = None,
    priority: Annotated[PriorityName, typer.Option(help="Which batches go first.")] = PriorityName.NORMAL,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label; may be repeated.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again, with the same items, is the same batch.")
    ] = None,
    notify_webhook: Annotated[list[str] | None, typer.Option(metavar="URL", help="POST the end there, signed.")] = None,
    notify_email: Annotated[list[str] | None, typer.Option(metavar="ADDRESS", help="Send the end there.")] = None,
    weight: Weight = None,
    rate: Pace = None,
    concurrency: AtOnce = None,
    deadline: Deadline = None,
    fail_after: FailAfter = None,
    retry: RetryBy = None,
    cache: Annotated[
        CachePolicy | None,
        typer.Option(help="Known results: use them, make them anew and keep those, or neither look nor keep."),
    ] = None,
    dedup: Annotated[
        DedupMode | None,
        typer.Option(
            help="Items that another running batch of yours has, too: wait for its result, reject the later one, or "
            "replace the earlier one."
        ),
    ] = None,
    dedup_ttl: Annotated[str | None, typer.Option(metavar="SPAN", help="For how long at most; a day if unset.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the batch has ended.")] = False,
    json: JsonFlag = False,
) -> None:
    """Submit a batch of items.

    A file of any size is read while it is sent; past 10,000 items the first
    ones run meanwhile. If the connection breaks it is sent again, and goes on
    where it stopped. CSV needs a header that names the fields of an item; a
    column custom_id comes back with the results. Prints the id of the batch.

    [bold]Examples[/bold]

      batchyard submit tracklists urls.csv --watch
      batchyard submit leads --source criteria.json --estimate
      batchyard submit tracklists --item '{"url": "https://…"}' --priority immediate
      zcat items.ndjson.gz | batchyard submit tracklists - --idempotency-key nightly-1
      id=$(batchyard submit tracklists urls.csv --json | jq -r .batch_id)
    """
    from services.cli.actions.submit import Request, hand_in
    from services.cli.parsing.terms import Said

    request = Request(
        workload=workload,
        file=file,
        items=item or [],
        source=source,
        estimate=estimate,
        kind=format_,
        priority=priority.value,
        name=name,
        labels=label or [],
        idempotency_key=idempotency_key,
        webhooks=notify_webhook or [],
        emails=notify_email or [],
        terms=Said(weight, rate, concurrency, deadline, fail_after or (), cache, dedup, dedup_ttl, retry or ()),
    )
    hand_in(ctx, request, watch=watch, json=json)
