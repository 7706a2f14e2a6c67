"""Access of commands to a running Batchyard: its address, its HTTP API, and ways to print."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import orjson
import typer
from rich.console import Console

from batchyard_contracts.v1.queries import BatchesReply
from services.cli.client.address import find_address, home
from services.cli.client.http_client import HttpClient, open_door
from services.cli.errors import BadInput, NotFound

T = TypeVar("T")


def use_api(ctx: typer.Context, use: Callable[[HttpClient], Awaitable[T]]) -> T:
    """Connect to the Batchyard that the command line or the environment names, and run `use`."""
    address = find_address(os.environ, home(os.environ), ctx.obj)

    async def run() -> T:
        async with open_door(address) as client:
            return await use(client)

    return asyncio.run(run())


async def resolve(client: HttpClient, batch: str) -> str:
    """Check the id of a batch, or find the newest one for `last`."""
    if batch == "last":
        found = BatchesReply.decode(await client.get("/batches", {"limit": 1})).batches
        if not found:
            raise NotFound("There is no batch yet.", "Submit one: `batchyard submit --help`.")
        return str(found[0].batch_id)
    try:
        return str(UUID(batch))
    except ValueError as error:
        raise BadInput(f"{batch!r} is not the id of a batch.", "See `batchyard list`, or write `last`.") from error


def write_json(document: Any) -> None:
    """One document on one line of standard output; bytes are taken as JSON already."""
    text = document.strip() if isinstance(document, bytes) else orjson.dumps(document)
    write_bytes(text + b"\n")


def write_bytes(data: bytes) -> None:
    """Write to standard output as it is. A reader that has seen enough (`| head`) ends the command."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


def out() -> Console:
    """Standard output for people."""
    return Console(highlight=False)


def err() -> Console:
    """Standard error, where everything goes that is not the answer."""
    return Console(stderr=True, highlight=False)
