"""Action of `batchyard export`: has results written into files, and fetches these. What was fetched is kept after an
interruption."""

import hashlib
from pathlib import Path

import aiohttp
import msgspec
import typer

from services.cli.actions.polling import advice_on_interruption, poll
from services.cli.actions.session import connect, resolve, use_api
from services.cli.client.api import Api
from services.cli.client.export_documents import Export
from services.cli.client.http_client import HttpClient
from services.cli.errors import BadInput, Refused
from services.cli.rendering.counted import counted
from services.cli.rendering.output import note, say, write_json

POLL_S = 0.5
_PIECE = 256 * 1024
_MANIFEST = "manifest.json"


def export(
    ctx: typer.Context,
    batch: str,
    form: dict[str, str | int | None],
    *,
    export_id: str | None,
    output: Path | None,
    wait: bool,
    json: bool,
) -> None:
    """Begin an export, or go on with one, and fetch its files into a folder, whose path alone is printed."""
    api = connect(ctx)
    batch_id = resolve(api, batch)
    path = f"/batches/{batch_id}/exports"
    if export_id is None:
        body = api.send("POST", path, {name: value for name, value in form.items() if value is not None})
        export_id = msgspec.json.decode(body, type=Export).id
    else:
        body = api.get(f"{path}/{export_id}")
    if not wait:
        write_json(body) if json else say(export_id)
        return
    place = f"{path}/{export_id}"
    with advice_on_interruption(f"To go on: batchyard export {batch_id} --id {export_id}"):
        found = _wait(api, place)
        folder = output or Path(f"batch-{batch_id}-{found.format}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{folder} cannot be made: {error.strerror or error}.", "Name another folder.") from error
        use_api(ctx, lambda client: _fetch_all(client, place, found, folder))
    if found.complete is False:
        note("The export is not complete: the batch had not ended, or was retried meanwhile.")
    if json:
        write_json(api.get(place))
        return
    note(f"{counted(found.rows, 'result')} in {counted(len(found.parts), 'file')} and {_MANIFEST} in")
    say(str(folder))


def _wait(api: Api, place: str) -> Export:
    told = -1

    def read() -> Export:
        nonlocal told
        found = msgspec.json.decode(api.get(place), type=Export)
        if found.state == "failed":
            raise Refused(f"The export has failed: {found.error}", "Try again, or read the results directly.")
        if found.state != "succeeded" and len(found.parts) != told:
            told = len(found.parts)
            note(f"{counted(found.rows, 'result')} so far; to go on later: --id {found.id}")
        return found

    return poll(read, lambda found: found.state == "succeeded", every_s=POLL_S)


async def _fetch_all(client: HttpClient, place: str, export: Export, folder: Path) -> None:
    try:
        for part in export.parts:
            await _fetch(client, f"{place}/files", part.name, part.sha256, folder)
        await _fetch(client, f"{place}/files", _MANIFEST, export.manifest_sha256 or "", folder)
    except OSError as error:
        raise BadInput(f"{folder} cannot be written: {error.strerror or error}.", "Name another folder.") from error


async def _fetch(client: HttpClient, files: str, name: str, sha256: str, folder: Path) -> None:
    """Fetch a file, or what is missing of it, and compare its digest."""
    if Path(name).name != name:
        raise Refused(f"The server names a file {name!r}, which is no name.", "Report it.")
    target, part = folder / name, folder / f".{name}.part"
    if target.exists() and _digest(target) == sha256:
        return
    begun = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={begun}-", "If-Range": f'"{sha256}"'} if begun else {}
    try:
        async with client.download(f"{files}/{name}", {}, headers) as response:
            await _write(response, part)
    except Refused:
        part.unlink(missing_ok=True)  # it may be longer than the file: the next attempt fetches all of it
        raise
    if _digest(part) != sha256:
        part.unlink()
        raise Refused(f"{name} did not arrive as it was written.", "Try again; what has arrived is kept.")
    part.replace(target)


async def _write(response: aiohttp.ClientResponse, part: Path) -> None:
    with part.open("ab" if response.status == 206 else "wb") as file:
        async for piece in response.content.iter_chunked(_PIECE):
            file.write(piece)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
