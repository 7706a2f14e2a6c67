"""Every door takes the same items: files, requests, messages and the command line; and results have them unchanged."""

import asyncio
import csv
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from batchyard_contracts.v1.values import NewItem
from services.cli.exit_codes import Exit
from tests.support.cluster import Cluster, until_announced
from tests.support.command import Command
from tests.support.patience import PATIENCE_S

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]

LARGE = [10**20 + 1, 10**20 + 2, 10**20 + 1]
"""Two ids that are one floating-point number, and the first of them again."""
IDS = ["-17", "+49 30 123", "@ann"]
WORKLOADS = '''
"""Says the id of an item as text; the same id is the same item."""
from pydantic import BaseModel
from batchyard_contracts.workload import Context, Workload

class Thing(BaseModel):
    id: int
    note: str = ""

class Price(BaseModel):
    low: float = -12.5

class Said(BaseModel):
    id: str
    number: int
    note: str
    variance: str = "-12.50"
    phone: str = "+1 503 555 0100"
    formula: str = "=1+1"
    price: Price = Price()
    tags: list[str] = ["a", "b"]

things = Workload("things", version="1", item=Thing, result=Said, dedup="/id", title="Things", example={"id": 1})

@things.handler
async def run(item: Thing, context: Context) -> Said:
    return Said(id=str(item.id), number=item.id, note=item.note)
'''


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def things(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """The cluster with a worker for the workload above."""
    file = tmp_path_factory.mktemp("workload") / "things.py"
    file.write_text(WORKLOADS, "utf-8")
    argv = (sys.executable, "-m", "services.cli", "workload", "run", str(file))
    environment = {**os.environ, **cluster.servers.environment(), "BATCHYARD_HEALTH_PORT": "0"}
    process = await asyncio.create_subprocess_exec(*argv, env=environment)
    try:
        await until_announced(cluster.http, "things")
        yield cluster
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), PATIENCE_S)


@pytest.fixture
def cli(things: Cluster, tmp_path: Path) -> Command:
    url = str(things.http._base_url).removesuffix("/api/v1/")
    return Command(
        {"BATCHYARD_URL": url, "BATCHYARD_HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}
    )


WRAPPED = [{"payload": {"id": number}, "custom_id": name} for number, name in zip(LARGE, IDS, strict=True)]
BARE = [{"custom_id": name, "id": number} for number, name in zip(LARGE, IDS, strict=True)]
LINES = "\n".join(map(json.dumps, WRAPPED))
SHEET = "sep=;\r\nCustom ID;id;note;\r\n" + "".join(
    f'{name};{number}.0;5" pipe;\r\n' for number, name in zip(LARGE, IDS, strict=True)
)


async def posted(cluster: Cluster, kind: str, body: str | bytes) -> UUID:
    headers = {"Content-Type": kind}
    path = "batches" if kind == "application/json" else "batches?workload=things"
    async with cluster.http.post(path, data=body, headers=headers) as response:
        accepted = await response.json()
        assert response.status == 202, accepted
    return UUID(accepted["batch_id"])


async def submitted(cli: Command, *argv: str, stdin: bytes = b"") -> UUID:
    ended = await cli("submit", "things", *argv, stdin=stdin)
    assert ended.code == Exit.OK, ended.err
    return UUID(ended.out.strip())


JSON = json.dumps({"workload": "things", "items": WRAPPED})
BODIES: dict[str, tuple[str, str | bytes]] = {
    "JSON": ("application/json", JSON),
    "JSON with a byte-order mark": ("application/json", JSON.encode("utf-8-sig")),
    "NDJSON": ("application/x-ndjson", LINES),
    "NDJSON of payloads": ("application/x-ndjson", "\n".join(map(json.dumps, BARE))),
    "CSV": ("text/csv", SHEET),
    "CSV in UTF-16": ("text/csv", SHEET.replace(";", "\t").encode("utf-16")),
}
FILES = {"list.json": json.dumps(BARE, indent=1), "lines.ndjson": LINES, "sheet.csv": SHEET}


@pytest.mark.parametrize("door", BODIES)
async def test_http_takes_the_same_items_in_every_format(door: str, things: Cluster) -> None:
    await check(things, await posted(things, *BODIES[door]))


@pytest.mark.parametrize("name", FILES)
async def test_the_command_line_takes_the_same_items_from_every_file(
    name: str, things: Cluster, cli: Command, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(FILES[name], "utf-8", newline="")
    await check(things, await submitted(cli, str(tmp_path / name)))


async def test_the_command_line_takes_the_same_items_as_options(things: Cluster, cli: Command) -> None:
    await check(things, await submitted(cli, *(part for item in BARE for part in ("--item", json.dumps(item)))))


async def test_amqp_takes_the_same_items(things: Cluster) -> None:
    receipt = await things.client.submit("things", [NewItem.model_validate(item) for item in WRAPPED])
    await check(things, receipt.batch_id)


async def check(cluster: Cluster, batch_id: UUID) -> None:
    """The batch has three items with their ids, of which the last repeats the first, and exports have the same."""
    assert (await cluster.client.wait(batch_id, PATIENCE_S)).result == "completed"
    found = [item async for item in cluster.client.results(batch_id)]
    assert [item.custom_id for item in found] == IDS
    assert [item.status for item in found] == ["succeeded", "succeeded", "duplicate"]
    assert [item.result["id"] for item in found[:2]] == [str(number) for number in LARGE[:2]]
    await check_exports(cluster, batch_id)


async def check_exports(cluster: Cluster, batch_id: UUID) -> None:
    """Each format has the ids and the numbers of the batch as they were submitted."""
    text = {}
    for name in ("csv", "ndjson", "json"):
        async with cluster.http.get(f"batches/{batch_id}/results?format={name}") as response:
            assert response.status == 200
            text[name] = await response.text()
    rows = list(csv.DictReader(StringIO(text["csv"], newline="")))
    assert [row["custom_id"] for row in rows] == IDS
    assert [row["number"] for row in rows] == [str(LARGE[0]), str(LARGE[1]), ""]
    first = rows[0]
    assert (first["variance"], first["phone"], first["formula"]) == ("-12.50", "'+1 503 555 0100", "'=1+1")
    assert (first["price.low"], first["tags"], first["more"]) == ("-12.5", '["a","b"]', "")
    items: list[Any] = [json.loads(line) for line in text["ndjson"].splitlines()]
    assert json.loads(text["json"]) == items
    assert [item["result"]["number"] for item in items[:2]] == LARGE[:2]
    assert [item["custom_id"] for item in items] == IDS


async def test_a_file_with_a_wrong_row_is_refused_with_line_column_and_advice(cli: Command) -> None:
    sheet = b'id,note\n1,5" pipe\n"1,234",x\n'
    ended = await cli("submit", "things", "-", "--format", "csv", stdin=sheet)
    assert ended.code == Exit.USAGE
    assert "Line 3" in ended.err
    assert "Column 1 (`id`) takes a whole number" in ended.err
    assert "no separators of thousands" in ended.err
