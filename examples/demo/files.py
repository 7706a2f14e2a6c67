"""Fetches the results over HTTP in three formats, writes them, and checks them against what came over AMQP."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path

from batchyard_contracts.v1.values import ItemResult
from examples.demo.checks import Check
from services.cli.actions.unzip import unpack
from services.cli.client.address import Address
from services.cli.client.http_client import HttpClient, open_client


@dataclass(frozen=True)
class Written:
    """A file or folder, and what is in it."""

    path: Path
    content: str


async def write_files(
    address: Address, batch_id: object, folder: Path, results: Sequence[ItemResult]
) -> tuple[list[Written], Check]:
    """Write `results.json`, `results.csv` and the folder `cue`; say what is there and whether it is all."""
    async with open_client(address) as http:
        document, table, archive = [await _fetch(http, batch_id, kind) for kind in ("json", "csv", "cue")]
    return _write(document, table, archive, folder, results)


def _write(
    document: bytes, table: bytes, archive: bytes, folder: Path, results: Sequence[ItemResult]
) -> tuple[list[Written], Check]:
    cue = folder / "cue"
    sheets = unpack(BytesIO(archive), cue)
    (folder / "results.json").write_bytes(document)
    (folder / "results.csv").write_bytes(table)
    items = json.loads(document)
    rows = list(csv.DictReader(StringIO(table.decode("utf-8-sig"))))
    wanted = sum(len(item.result["cue"]) for item in results if item.status == "succeeded")
    right = (
        [item["ordinal"] for item in items] == [item.ordinal for item in results]
        and [row["status"] for row in rows] == [item.status for item in results]
        and len(list(cue.iterdir())) == sheets == wanted > 0
        and all("TRACK 01 AUDIO" in sheet.read_text("utf-8") for sheet in cue.iterdir())
    )
    written = [
        Written(folder / "results.json", f"{len(items)} items"),
        Written(folder / "results.csv", f"{len(rows)} rows"),
        Written(cue, f"{sheets} CUE sheets"),
    ]
    found = f"{len(items)} items, {len(rows)} rows, {sheets} of {wanted} sheets"
    return written, Check("results as files", right, found)


async def _fetch(http: HttpClient, batch_id: object, kind: str) -> bytes:
    async with http.download(f"/batches/{batch_id}/results", {"format": kind}) as response:
        return await response.read()
