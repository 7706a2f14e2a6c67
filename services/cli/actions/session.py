"""Access of commands to a running Batchyard: its address, its HTTP API, and the batch that an argument names."""

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import msgspec
import typer

from services.cli.client.address import Address, find_address, home
from services.cli.client.api import Api
from services.cli.client.documents import Batch, Batches
from services.cli.client.last_batch import recall
from services.cli.errors import BadInput, NotFound
from services.cli.rendering.output import note
from services.cli.rendering.spans import age

if TYPE_CHECKING:
    from services.cli.client.http_client import HttpClient

T = TypeVar("T")
LAST = "last"


def address_of(ctx: typer.Context, *, as_operator: bool = False) -> Address:
    """Return the address that the command line or the environment names, else that of the local cluster."""
    option = ctx.find_root().params.get("url")
    address = find_address(os.environ, home(os.environ), option, as_operator=as_operator)
    if address.is_in_clear:
        note(f"The API key travels unencrypted to {address.url}.")
    return address


def connect(ctx: typer.Context, *, as_operator: bool = False) -> Api:
    """Return the HTTP API at that address; `as_operator`: with the operator's key, if there is one."""
    return Api(address_of(ctx, as_operator=as_operator))


def connect_for(ctx: typer.Context, owner: str | None) -> tuple[Api, str]:
    """Return the HTTP API with the operator's key, and an owner, or that of the user: whose batches are not those of
    the operator."""
    owner = owner or msgspec.json.decode(connect(ctx).get("/session"))["owner"]
    return connect(ctx, as_operator=True), owner


def use_api(ctx: typer.Context, use: "Callable[[HttpClient], Awaitable[T]]") -> T:
    """Connect to that address for a long transfer, and run `use`."""
    import asyncio  # noqa: PLC0415  # commands with a short answer do without

    from services.cli.client.http_client import open_client  # noqa: PLC0415

    address = address_of(ctx)

    async def run() -> T:
        async with open_client(address) as client:
            return await use(client)

    return asyncio.run(run())


def resolve(api: Api, batch: str) -> str:
    """Check the id of a batch. For `last` find it, and say which one that is."""
    if batch == LAST:
        found = _last(api)
        name = f" {found.name!r}" if found.name else ""
        note(f"last: {found.batch_id} {found.workload}{name}, accepted {age(datetime.now(UTC) - found.accepted_at)}")
        return found.batch_id
    try:
        return str(UUID(batch))
    except ValueError as error:
        raise BadInput(f"{batch!r} is not the id of a batch.", "See `batchyard list`, or write `last`.") from error


def _last(api: Api) -> Batch:
    """Return the batch that this user submitted last by this command; if there is none, the owner's newest one."""
    remembered = recall(os.environ, api.address.url)
    if remembered is not None:
        try:
            return msgspec.json.decode(api.get(f"/batches/{remembered}"), type=Batch)
        except NotFound:
            note(f"The batch that you submitted last, {remembered}, is not there any more.")
    found = msgspec.json.decode(api.get("/batches", {"limit": 1}), type=Batches).batches
    if not found:
        raise NotFound("There is no batch yet.", "Submit one: `batchyard submit --help`.")
    return found[0]
