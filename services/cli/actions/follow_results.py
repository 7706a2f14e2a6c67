"""Action of `batchyard results --follow`: writes results as items end, and goes on after a lost connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import typer

from services.cli.actions.results import ResultSelection
from services.cli.actions.session import connect, resolve, use_api
from services.cli.client.follow import MAX_UNAVAILABLE_S, POLL_S
from services.cli.client.http_client import HttpClient
from services.cli.errors import BadInput, CliError, NotReachable
from services.cli.rendering.output import note, write_bytes


class _Line(msgspec.Struct):
    """A result, of which the cursor alone is read."""

    cursor: str | None = None


def follow_results(ctx: typer.Context, batch: str, selection: ResultSelection, output: Path | None) -> None:
    """Write the results until the batch has ended. A file has all results of the time at which the command ends."""
    batch_id = resolve(connect(ctx), batch)
    query = selection.query() | {"follow": "true"}
    with ExitStack() as stack:
        write: Callable[[bytes], None] = write_bytes
        if output is not None and str(output) != "-":
            write = _file_writer(stack, output)

        async def use(client: HttpClient) -> None:
            async for lines in _lines(client, f"/batches/{batch_id}/results", query):
                write(lines)

        try:
            use_api(ctx, use)
        except (CliError, KeyboardInterrupt):
            if query["cursor"] != selection.cursor:
                note(f"To continue, with the same options: --cursor {query['cursor']}")
            raise


async def _lines(client: HttpClient, path: str, query: dict[str, str | int | None]) -> AsyncIterator[bytes]:
    """Yield whole lines, and keep the cursor of the last one in the query. Raises `CliError` when Batchyard is
    unavailable for too long."""
    clock = asyncio.get_running_loop().time
    unavailable_since: float | None = None
    has_begun = False
    while True:
        rest = b""
        try:
            async with client.download(path, query) as response:
                has_begun = True
                async for piece in response.content.iter_any():
                    unavailable_since = None
                    *complete, rest = (rest + piece).split(b"\n")
                    if found := [line for line in complete if line]:
                        last = msgspec.json.decode(found[-1], type=_Line)
                        query |= {"cursor": last.cursor, "after": None}
                        yield b"\n".join(found) + b"\n"
            return
        except CliError as error:
            if not has_begun or not (isinstance(error, NotReachable) or error.retry_after_s is not None):
                raise
            unavailable_since = unavailable_since or clock()
            if clock() - unavailable_since > MAX_UNAVAILABLE_S:
                raise
            pause_s = max(POLL_S, error.retry_after_s or 0.0)
        await asyncio.sleep(pause_s)


def _file_writer(stack: ExitStack, file: Path) -> Callable[[bytes], None]:
    try:
        target = stack.enter_context(file.open("wb"))
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror or error}.", "Name another file.") from error

    def write(lines: bytes) -> None:
        try:
            target.write(lines)
            target.flush()
        except OSError as error:
            raise BadInput(f"{file} cannot be written: {error.strerror or error}.", "Free some space.") from error

    return write
