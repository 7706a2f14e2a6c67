"""`batchyard submit`: submit a batch, and optionally watch it."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands.options import (
    CachePolicy,
    Concurrency,
    Deadline,
    DedupMode,
    FailureThreshold,
    JsonFlag,
    NotBefore,
    PriorityName,
    RateLimit,
    RetryRules,
    Weight,
    Workload,
)
from services.cli.parsing.format import Format


def submit(
    ctx: typer.Context,
    workload: Workload,
    file: Annotated[
        str | None,
        typer.Argument(
            help="JSON list, NDJSON or CSV; - reads standard input. The server reads what is at https://… or "
            "s3://bucket/prefix."
        ),
    ] = None,
    item: Annotated[
        list[str] | None, typer.Option(help="An item as JSON, in place of a file; may be repeated.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Source from which the workload finds the items: a JSON object; - reads standard input.",
            allow_dash=True,
        ),
    ] = None,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            help="Tell when the batch would end and submit nothing; with --source, its worker estimates it.",
        ),
    ] = False,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Format of the file, if its name does not show it.")
    ] = None,
    priority: Annotated[PriorityName, typer.Option(help="Priority of the batch.")] = PriorityName.NORMAL,
    name: Annotated[str | None, typer.Option(help="Name of the batch, for display.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label; may be repeated.")] = None,
    metadata: Annotated[
        str | None, typer.Option(metavar="JSON", help="JSON object of your own, which comes back with the batch.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Key under which the same items are submitted only once.")
    ] = None,
    notify_webhook: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Address that receives a signed POST when the batch has finished."),
    ] = None,
    notify_email: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="E-mail address that is notified when the batch has finished."),
    ] = None,
    weight: Weight = None,
    rate: RateLimit = None,
    concurrency: Concurrency = None,
    not_before: NotBefore = None,
    deadline: Deadline = None,
    failure_threshold: FailureThreshold = None,
    retry: RetryRules = None,
    cache: Annotated[
        CachePolicy | None,
        typer.Option(help="Cached results: use them, refresh them, or turn the cache off."),
    ] = None,
    dedup: Annotated[
        DedupMode | None,
        typer.Option(
            help="Items that another running batch of yours has too: attach to its result, reject the later item, or "
            "replace the earlier one."
        ),
    ] = None,
    dedup_ttl: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Longest time for which --dedup applies; default: a day.")
    ] = None,
    follow_up: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Batch that follows when this one ends, as a JSON object; see docs/schedules.md. May be repeated.",
            allow_dash=True,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Store nothing and run nothing; show what the submission would meet.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Watch the batch until it has finished.")] = False,
    json: JsonFlag = False,
) -> None:
    """Submit a batch of items.

    A file of any size is streamed; beyond 10,000 items the first ones run
    meanwhile. If the connection breaks, the upload resumes where it stopped.
    CSV needs a header that names the fields of an item; a column custom_id is
    repeated in the results. The command prints the id of the batch.

    Examples

      batchyard submit http calls.csv --dry-run
      batchyard submit http calls.csv --watch
      batchyard submit http calls.csv --deadline 2h --estimate
      batchyard submit WORKLOAD --source criteria.json --estimate
      batchyard submit http https://example.com/calls.ndjson.gz
      batchyard submit http --item '{"url": "https://…"}' --priority immediate
      zcat items.ndjson.gz | batchyard submit http - --idempotency-key nightly-1
      id=$(batchyard submit http calls.csv --json | jq -r .batch_id)
    """
    from services.cli.actions.submit import Request, is_remote, submit_batch
    from services.cli.parsing.json_file import metadata_of, object_of
    from services.cli.parsing.terms import TermOptions

    request = Request(
        workload=workload,
        file=None if file is None or is_remote(file) else Path(file),
        remote=file if file is not None and is_remote(file) else None,
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
        terms=TermOptions(
            weight,
            rate,
            concurrency,
            deadline,
            failure_threshold or (),
            cache,
            dedup,
            dedup_ttl,
            retry or (),
            not_before,
        ),
        follow_ups=[object_of(file) for file in follow_up or []],
        dry_run=dry_run,
        metadata=metadata_of(metadata),
    )
    submit_batch(ctx, request, watch=watch, json=json)
