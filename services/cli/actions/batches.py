"""Actions of `batchyard list`, `show` and `failures`."""

from datetime import UTC, datetime

import msgspec
import typer

from services.cli.actions.session import connect, resolve
from services.cli.client.api import Api, Query
from services.cli.client.documents import Batch, Batches, Deliveries, Failures
from services.cli.client.reason_documents import Reasons
from services.cli.client.timeline_documents import Timeline
from services.cli.errors import NotFound, NotReachable
from services.cli.rendering.output import note, say, show, terminal_width, write_json


def list_batches(
    ctx: typer.Context, query: Query, before: str | None, after: str | None, *, all_owners: bool, json: bool
) -> None:
    """Print the batches that match a query, those that are older than `before` and younger than `after`; of all owners
    for an operator."""
    api = connect(ctx, as_operator=all_owners)
    places = {"before": resolve(api, before) if before else None, "after": resolve(api, after) if after else None}
    body = api.get("/owners/batches" if all_owners else "/batches", {**query, **places})
    if json:
        write_json(body)
        return
    page = msgspec.json.decode(body, type=Batches)
    if not page.batches:
        say("No batch fits. Submit one: `batchyard submit --help`.")
        return
    from services.cli.rendering.tables import batches_table  # noqa: PLC0415  # JSON does without a library that draws

    show(batches_table(page.batches, datetime.now(UTC), terminal_width(), with_owner=all_owners))
    if page.next_before:
        note(f"Older ones, with the same options: --before {page.next_before}")
    if page.next_after:
        note(f"Younger ones, with the same options: --after {page.next_after}")


def show_batch(ctx: typer.Context, batch: str, *, json: bool) -> None:
    """Print one batch."""
    api = connect(ctx)
    body = api.get(f"/batches/{resolve(api, batch)}")
    found = msgspec.json.decode(body, type=Batch)
    deliveries = _deliveries(api, found)
    if json:
        write_json(msgspec.json.decode(body) | {"deliveries": deliveries.deliveries if deliveries else None})
    else:
        from services.cli.rendering.tables import batch_block  # noqa: PLC0415  # as above

        show(batch_block(found, deliveries))


def _deliveries(api: Api, batch: Batch) -> Deliveries | None:
    """Return the notifications of a batch; None if they are not known at present. There are none before its end."""
    if batch.finished_at is None and batch.round == 1:
        return Deliveries()
    try:
        return msgspec.json.decode(api.get(f"/batches/{batch.batch_id}/deliveries"), type=Deliveries)
    except NotReachable:
        return None
    except NotFound:  # a server of a version that does not tell them
        return Deliveries()


def show_failures(ctx: typer.Context, batch: str, *, json: bool) -> None:
    """Print the failures of a batch by cause."""
    api = connect(ctx)
    batch_id = resolve(api, batch)
    body = api.get(f"/batches/{batch_id}/failures")
    if json:
        write_json(body)
    else:
        from services.cli.rendering.tables import failures_table  # noqa: PLC0415  # as above

        show(*failures_table(batch_id, msgspec.json.decode(body, type=Failures).groups))


def show_timeline(ctx: typer.Context, batch: str, before: str | None, limit: int, *, json: bool) -> None:
    """Print what happened to a batch."""
    api = connect(ctx)
    body = api.get(f"/batches/{resolve(api, batch)}/timeline", {"before": before, "limit": limit})
    if json:
        write_json(body)
        return
    from services.cli.rendering.timeline_table import timeline_table  # noqa: PLC0415  # as above

    page = msgspec.json.decode(body, type=Timeline)
    show(timeline_table(page.entries))
    if page.next:
        note(f"Earlier entries: --before {page.next.isoformat()}")


def show_reasons(ctx: typer.Context, batch: str, *, json: bool) -> None:
    """Print what holds back the items of a batch."""
    api = connect(ctx)
    body = api.get(f"/batches/{resolve(api, batch)}/reasons")
    if json:
        write_json(body)
    else:
        from services.cli.rendering.reason_table import reason_lines  # noqa: PLC0415  # as above

        show(*reason_lines(msgspec.json.decode(body, type=Reasons)))
