"""Action of `batchyard results`: streams results to standard output or a file, and unpacks exports into a folder."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import typer

from services.cli.actions.session import connect, resolve, use_api
from services.cli.actions.unzip import unpack
from services.cli.client.http_client import HttpClient
from services.cli.errors import BadInput
from services.cli.rendering.output import note, say, write_bytes

_ZIP = "application/zip"
PARQUET = "application/vnd.apache.parquet"
_PIECE = 256 * 1024
_IN_MEMORY = 16 * 1024 * 1024


@dataclass(frozen=True)
class ResultSelection:
    """Selection and format of the results to write."""

    format: str
    status: str | None
    code: str | None
    cause: str | None
    after: int
    """Ordinal after which the results begin; -1: with the first one."""
    custom_id: str | None = None
    round: int | None = None
    order: str | None = None
    cursor: str | None = None

    def query(self) -> dict[str, str | int | None]:
        """Return the parameters of the request."""
        return {
            "format": self.format,
            "status": self.status,
            "error_code": self.code,
            "cause": self.cause,
            "after": self.after,
            "custom_id": self.custom_id,
            "round": self.round,
            "order": self.order,
            "cursor": self.cursor,
        }


def fetch(ctx: typer.Context, batch: str, selection: ResultSelection, output: Path | None) -> None:
    """Write the results to standard output, a file, or a folder. Of these only the path of a folder is printed."""

    if selection.format == "parquet" and output is None and sys.stdout.isatty():
        raise BadInput("Parquet is no text for a terminal.", "Name a file: --output results.parquet")
    batch_id = resolve(connect(ctx), batch)

    async def use(client: HttpClient) -> None:
        async with client.download(f"/batches/{batch_id}/results", selection.query()) as response:
            if response.content_type == _ZIP:
                await _to_folder(response, output or Path(f"batch-{batch_id}-{selection.format}"))
            elif output is None or str(output) == "-":
                last = b""
                async for piece in response.content.iter_chunked(_PIECE):
                    write_bytes(piece)
                    last = piece
                if response.content_type != PARQUET and last and not last.endswith(b"\n"):
                    write_bytes(b"\n")
            else:
                await _to_file(response, output)

    use_api(ctx, use)


async def _to_folder(response: aiohttp.ClientResponse, folder: Path) -> None:
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as archive:
        async for piece in response.content.iter_chunked(_PIECE):
            archive.write(piece)
        archive.seek(0)
        count = unpack(archive, folder)
    note(f"{count:,} {'file' if count == 1 else 'files'} in")
    say(str(folder))


async def _to_file(response: aiohttp.ClientResponse, file: Path) -> None:
    """Write a temporary file first, so that an interrupted transfer leaves no incomplete file."""
    fresh = file.with_name(f".{file.name}.part")
    written = 0
    try:
        with fresh.open("wb") as target:
            async for piece in response.content.iter_chunked(_PIECE):
                written += target.write(piece)
        fresh.replace(file)
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror or error}.", "Name another file.") from error
    finally:
        fresh.unlink(missing_ok=True)
    note(f"{written:,} bytes in {file}")
