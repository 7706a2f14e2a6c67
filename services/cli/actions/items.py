"""Actions of `batchyard items`."""

import msgspec
import typer

from services.cli.actions.session import connect, resolve
from services.cli.client.api import Query
from services.cli.client.item_documents import Item, Items
from services.cli.rendering.output import note, say, show, write_json


def list_items(ctx: typer.Context, batch: str, query: Query, *, json: bool) -> None:
    """Print the items of a batch that match a query, page by page until there are enough."""
    api = connect(ctx)
    batch_id = resolve(api, batch)
    limit, found, after = int(str(query["limit"])), list[Item](), query["after"]
    while True:
        body = api.get(f"/batches/{batch_id}/items", {**query, "limit": min(200, limit - len(found)), "after": after})
        page = msgspec.json.decode(body, type=Items)
        if json:
            for item in msgspec.json.decode(body)["items"]:
                write_json(item)
        found += page.items
        after = page.next
        if after is None or len(found) >= limit:
            break
    if not json:
        if not found:
            say("No item fits.")
        else:
            from services.cli.rendering.item_table import items_table  # noqa: PLC0415  # JSON does without it

            show(items_table(found))
    if after is not None:
        note(f"Further ones, with the same options: --after {after}")


def show_item(ctx: typer.Context, batch: str, ordinal: int, *, json: bool) -> None:
    """Print one item of a batch."""
    api = connect(ctx)
    body = api.get(f"/batches/{resolve(api, batch)}/items/{ordinal}")
    if json:
        write_json(body)
    else:
        from services.cli.rendering.item_table import item_block  # noqa: PLC0415  # as above

        show(item_block(msgspec.json.decode(body, type=Item)))
