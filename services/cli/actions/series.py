"""Action of `batchyard series`."""

import msgspec
import typer

from services.cli.actions.session import connect, resolve
from services.cli.client.series_documents import Series
from services.cli.rendering.output import say, show, write_json


def show_series(
    ctx: typer.Context, batch: str | None, span: str, owner: str | None, points: int, *, json: bool
) -> None:
    """Print the throughput and the durations of a batch, or of all."""
    api = connect(ctx, as_operator=owner is not None)
    if batch is None:
        body = api.get("/series", {"span": span, "owner": owner, "points": points})
    else:
        body = api.get(f"/batches/{resolve(api, batch)}/series", {"owner": owner, "points": points})
    if json:
        write_json(body)
        return
    found = msgspec.json.decode(body, type=Series)
    if not found.points:
        say("There is nothing to show: no item has ended, or all did so within two seconds.")
        return
    from services.cli.rendering.series_table import series_table  # noqa: PLC0415  # JSON does without it

    show(series_table(found))
