"""Action of `batchyard series`."""

import msgspec
import typer

from services.cli.actions.session import connect, resolve
from services.cli.client.series_documents import Series
from services.cli.client.timeline_documents import Timeline, TimelineEntry
from services.cli.errors import BadInput
from services.cli.rendering.output import say, show, write_json

_MAX_EVENTS = 100


def show_series(
    ctx: typer.Context,
    batch: str | None,
    span: str,
    owner: str | None,
    destination: str | None,
    points: int,
    *,
    json: bool,
) -> None:
    """Print the throughput and the durations of a batch, or of all."""
    if destination is not None and batch is None:
        raise BadInput("Only a batch has times by destination.", "Name the batch: batchyard series BATCH.")
    api = connect(ctx, as_operator=owner is not None)
    path = "" if batch is None else f"/batches/{resolve(api, batch)}"
    body = api.get(f"{path}/series", {"owner": owner, "points": points, **({} if path else {"span": span})})
    if json:
        write_json(body)
        return
    found = msgspec.json.decode(body, type=Series)
    if not found.points:
        say("There is nothing to show: no item has ended, or all did so within two seconds.")
        return
    from services.cli.rendering.series_table import series_table  # noqa: PLC0415  # JSON does without it

    chosen = next((one for one in found.destinations if one.partition == destination), None)
    if destination is not None and chosen is None:
        names = ", ".join(one.partition for one in found.destinations) or "none"
        raise BadInput(f"There are no times of {destination}.", f"There are those of: {names}.")
    events: list[TimelineEntry] = []
    if path:
        timeline = api.get(f"{path}/timeline", {"owner": owner, "limit": _MAX_EVENTS})
        events = msgspec.json.decode(timeline, type=Timeline).entries
    show(series_table(found, chosen, events))
    if len(found.destinations) > 1 and chosen is None:
        say(f"Times by destination (--destination): {', '.join(one.partition for one in found.destinations)}")
