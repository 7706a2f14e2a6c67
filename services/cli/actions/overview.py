"""Action of `batchyard overview`."""

from datetime import UTC, datetime

import msgspec
import typer

from services.cli.actions.session import connect
from services.cli.client.overview_documents import Overview
from services.cli.rendering.output import show, terminal_width, write_json


def show_overview(ctx: typer.Context, owner: str | None, *, json: bool) -> None:
    """Print the overview."""
    body = connect(ctx, as_operator=owner is not None).get("/overview", {"owner": owner})
    if json:
        write_json(body)
    else:
        from services.cli.rendering.overview_block import overview_lines  # noqa: PLC0415  # JSON does without it

        show(*overview_lines(msgspec.json.decode(body, type=Overview), datetime.now(UTC), terminal_width()))
