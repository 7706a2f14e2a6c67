"""Exports as files with a manifest: whole, in every format, fetched in parts, and never twice."""

import asyncio
import hashlib
import json
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import asyncpg
import duckdb
import pytest

from batchyard_contracts.message import Message
from batchyard_contracts.v1.queries import BatchesQuery, BatchesReply, BatchState, StreamPage, StreamQuery
from batchyard_contracts.v1.values import Counts, ItemError, ItemResult
from devstack import Servers
from services.ingest.export_jobs import export_cleaner, export_manager, export_runner
from services.ingest.export_jobs.export_cleaner import ExportCleaner
from services.ingest.export_jobs.export_runner import ExportRunner
from services.ingest.persistence.export_store import ExportStore
from services.ingest.persistence.store import SESSION, BatchStore
from services.ingest.persistence.workload_registry import WorkloadRegistry
from services.ingest.queries.aggregator_client import AggregatorClient
from services.ingest.settings import IngestSettings
from shared.artefacts.folder import FolderStore
from shared.artefacts.store import StoreFailed
from shared.messaging.rpc_client import RpcClient
from shared.postgres.pool import Pool, open_pool
from tests.support.patience import until, until_true
from tests.support.running_ingest import IngestHarness, running_ingest
from tests.support.s3_server import BUCKET, KEY_ID, SECRET, s3_server

ITEMS = [
    ItemResult(
        ordinal=n, custom_id=f"c{n}", status="succeeded", attempts=1, result={"n": n, "title": f"=set {n}", "x": 1}
    )
    for n in range(2500)
] + [
    ItemResult(ordinal=2500, status="failed", attempts=4, error=ItemError(code="gone", message="no")),
    ItemResult(ordinal=2501, status="succeeded", result={"n": 2**70, "title": None}),
]
READERS = {"ndjson": "read_json_auto", "csv": "read_csv_auto", "parquet": "read_parquet"}


class FakeAggregator:
    """Replies like the aggregator about one batch, from `items`."""

    def __init__(self) -> None:
        self.items = ITEMS
        self.status = "finished"
        self.round = 1
        self.queries: list[StreamQuery] = []

    def stream(self, query: StreamQuery) -> Message:
        self.queries.append(query)
        after = int(query.cursor[1:]) if query.cursor else -1
        left = [
            item.model_copy(update={"cursor": f"o{item.ordinal}"})
            for item in self.items
            if item.ordinal > after and query.status in {None, item.status}
        ]
        page = left[: min(query.max_items, 500)]
        cursor = page[-1].cursor if page else query.cursor
        return StreamPage(
            items=page, cursor=cursor, has_more=len(page) < len(left), has_ended=self.status == "finished"
        )

    def batches(self, query: BatchesQuery) -> Message:
        (batch_id,) = query.batch_ids or [uuid4()]
        state = {
            "batch_id": batch_id,
            "owner": "default",
            "workload": "squares",
            "priority": "normal",
            "status": self.status,
            "round": self.round,
            "result": "partial" if self.status == "finished" else None,
            "counts": Counts(total=len(ITEMS)),
            "accepted_at": "2026-11-30T12:00:00Z",
        }
        return BatchesReply(batches=[BatchState.model_validate(state)])


async def batch(harness: IngestHarness, ledger: FakeAggregator) -> str:
    harness.answers |= {StreamQuery: ledger.stream, BatchesQuery: ledger.batches}
    _, accepted = await harness.post("/batches", json={"workload": "squares", "items": [{"payload": {"n": 1}}]})
    return f"/batches/{accepted['batch_id']}/exports"


async def ended(harness: IngestHarness, path: str, **form: Any) -> dict[str, Any]:
    """Begin an export and wait for its end."""
    status, begun = await harness.post(path, json=form)
    assert status == 202, begun
    assert begun["state"] == "running"
    found = await until(lambda: harness.get(f"{path}/{begun['id']}"), lambda answer: answer[1]["state"] != "running")
    return cast("dict[str, Any]", found[1])


def rows_of(statement: str) -> list[tuple[Any, ...]]:
    """Return what DuckDB finds."""
    return duckdb.connect().execute(statement).fetchall()


async def fetch(harness: IngestHarness, path: str, **headers: str) -> tuple[int, bytes, Any]:
    async with harness.http.get(harness.url + path, headers=headers) as response:
        return response.status, await response.read(), response.headers


@pytest.mark.parametrize("export_format", ["ndjson", "csv", "parquet"])
async def test_an_export_has_every_outcome_once_and_a_manifest(
    clean: Servers, export_format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_runner, "PART_BYTES", 100_000)
    async with running_ingest(clean, exports_store=str(tmp_path / "exports")) as harness:
        path = await batch(harness, FakeAggregator())
        export = await ended(harness, path, format=export_format)
        assert (export["state"], export["complete"], export["round"]) == ("succeeded", True, 1)
        assert (export["rows"], export["counts"]) == (2502, {"succeeded": 2501, "failed": 1})
        assert len(export["parts"]) > 1
        base = f"{path}/{export['id']}/files"
        for part in export["parts"]:
            status, body, headers = await fetch(harness, f"{base}/{part['name']}")
            assert (status, len(body), hashlib.sha256(body).hexdigest()) == (200, part["bytes"], part["sha256"])
            assert headers["ETag"] == f'"{part["sha256"]}"'
            (tmp_path / part["name"]).write_bytes(body)
        assert [part["first"] for part in export["parts"][1:]] == [part["last"] + 1 for part in export["parts"][:-1]]
        _, manifest, _ = await fetch(harness, f"{base}/manifest.json")
        assert hashlib.sha256(manifest).hexdigest() == export["manifest_sha256"]
        document = json.loads(manifest)
        assert (document["parts"], document["complete"], document["rows"]) == (export["parts"], True, 2502)
        _, line, _ = await fetch(harness, f"{base}/manifest.sha256")
        assert line.decode() == f"{export['manifest_sha256']}  manifest.json\n"
        files = {file.name for file in (tmp_path / "exports").rglob("*") if file.is_file()}
        assert files == {*(part["name"] for part in export["parts"]), "manifest.json", "manifest.sha256"}
        again = await ended(harness, path, format=export_format)
        assert again["manifest_sha256"] == export["manifest_sha256"], "equal results have equal files"

    table = f"{READERS[export_format]}('{tmp_path}/part-*.{export_format}')"
    counted = "count(*), count(DISTINCT ordinal), sum(CASE status WHEN 'failed' THEN ordinal END)"
    assert rows_of(f"SELECT {counted} FROM {table}") == [(2502, 2502, 2500)]


async def test_parquet_keeps_types_and_what_does_not_fit_them(clean: Servers, tmp_path: Path) -> None:
    async with running_ingest(clean, exports_store=str(tmp_path / "exports")) as harness:
        path = await batch(harness, FakeAggregator())
        export = await ended(harness, path, format="parquet")
        _, body, _ = await fetch(harness, f"{path}/{export['id']}/files/part-00000-1.parquet")
        (tmp_path / "all.parquet").write_bytes(body)
        table = f"'{tmp_path / 'all.parquet'}' WHERE ordinal IN (7, 2500, 2501) ORDER BY ordinal"
        rows = rows_of(f"SELECT n, title, more FROM {table}")
        assert rows == [(7, "=set 7", '{"x":1}'), (None, None, None), (None, None, f'{{"n":{2**70}}}')]


async def test_a_running_batch_has_an_incomplete_export(clean: Servers, tmp_path: Path) -> None:
    async with running_ingest(clean, exports_store=str(tmp_path)) as harness:
        ledger = FakeAggregator()
        path = await batch(harness, ledger)
        ledger.status, ledger.items = "running", []
        export = await ended(harness, path, format="csv", status="failed")
        assert (export["complete"], export["rows"], len(export["parts"])) == (False, 0, 1)
        ledger.round = 2
        export = await ended(harness, path, round=1)
        assert export["complete"] is True, "that round has ended"
        assert {(query.status, query.round) for query in ledger.queries} == {("failed", None), (None, 1)}


async def test_a_file_is_fetched_in_parts(clean: Servers, tmp_path: Path) -> None:
    async with running_ingest(clean, exports_store=str(tmp_path)) as harness:
        path = await batch(harness, FakeAggregator())
        export = await ended(harness, path)
        place = f"{path}/{export['id']}/files/part-00000-1.ndjson"
        _, whole, headers = await fetch(harness, place)
        tag, size = headers["ETag"], len(whole)
        assert headers["Accept-Ranges"] == "bytes"
        for asked, start, end in (("bytes=100-199", 100, 200), ("bytes=-7", size - 7, size), ("bytes=9-", 9, size)):
            status, part, headers = await fetch(harness, place, Range=asked)
            assert (status, part) == (206, whole[start:end])
            assert headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        status, part, _ = await fetch(harness, place, Range="bytes=5-9", **{"If-Range": tag})
        assert (status, part) == (206, whole[5:10])
        status, part, _ = await fetch(harness, place, Range="bytes=5-9", **{"If-Range": '"another"'})
        assert (status, part) == (200, whole)
        status, _, headers = await fetch(harness, place, Range=f"bytes={size}-")
        assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")
        assert (await fetch(harness, place, **{"If-None-Match": tag}))[:2] == (304, b"")
        assert (await fetch(harness, place, **{"If-None-Match": '"other"'}))[0] == 200


async def test_exports_are_limited_repeated_and_deleted(
    clean: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_manager, "MAX_RUNNING", 2)
    async with running_ingest(clean, exports_store=str(tmp_path)) as harness:
        ledger = FakeAggregator()
        path = await batch(harness, ledger)
        done = await ended(harness, path)
        del harness.answers[BatchesQuery]  # exports wait from now on
        key = {"Idempotency-Key": "a"}
        first, again = [await harness.post(path, json={}, headers=key) for _ in range(2)]
        assert first[1]["id"] == again[1]["id"]
        status, problem = await harness.post(path, json={"format": "csv"}, headers=key)
        assert (status, problem["code"]) == (409, "idempotency_conflict")
        assert (await harness.post(path, json={}))[0] == 202
        status, problem = await harness.post(path, json={})
        assert (status, problem["code"]) == (429, "too_many_exports")
        _, listed = await harness.get(path)
        assert [one["id"] for one in listed["exports"]][-1] == done["id"]
        assert len(listed["exports"]) == 3
        for one in listed["exports"]:
            async with harness.http.delete(f"{harness.url}{path}/{one['id']}") as response:
                assert response.status == 204
            status, problem = await harness.get(f"{path}/{one['id']}")
            assert (status, problem["code"]) == (404, "export_not_found")
        assert [file for file in tmp_path.rglob("*") if file.is_file()] == []  # noqa: ASYNC240


async def test_exports_that_begin_at_once_keep_to_the_limit(
    clean: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_manager, "MAX_RUNNING", 2)
    monkeypatch.setattr(ExportRunner, "INTERVAL_S", 3600.0)
    async with running_ingest(clean, exports_store=str(tmp_path)) as harness:
        path = await batch(harness, FakeAggregator())
        await harness.rows(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$"
        )
        await harness.rows("CREATE TRIGGER wait BEFORE INSERT ON exports FOR EACH ROW EXECUTE FUNCTION wait()")
        connection = await asyncpg.connect(clean.database_url)
        try:
            await connection.execute("SELECT pg_advisory_lock(1)")
            beginning = asyncio.gather(*(harness.post(path, json={}) for _ in range(20)))
            waiting = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            await until(lambda: harness.rows(waiting), lambda rows: rows[0]["n"] >= 3)
        finally:
            await connection.close()
            await harness.rows("DROP FUNCTION wait() CASCADE")
        assert sorted(status for status, _ in await beginning) == [202] * 2 + [429] * 18


@pytest.mark.parametrize(
    "reason", ["UPDATE exports SET ended_at = now() - interval '8 days'", "UPDATE batches SET state = 'deleted'"]
)
async def test_old_exports_and_those_of_deleted_batches_go_with_their_files(
    clean: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    monkeypatch.setattr(export_cleaner, "_MOST_AT_A_TIME", 1)
    monkeypatch.setattr(ExportCleaner, "INTERVAL_S", 0.1)
    async with running_ingest(clean, exports_store=str(tmp_path)) as harness:
        ledger = FakeAggregator()
        path, other = await batch(harness, ledger), await batch(harness, ledger)
        await ended(harness, path)
        await ended(harness, path, format="csv")
        kept = await ended(harness, other)
        assert len({place.parent for place in tmp_path.rglob("part-*")}) == 3  # noqa: ASYNC240
        await harness.rows(f"{reason} WHERE batch_id = $1", uuid.UUID(path.split("/")[2]))
        await until(lambda: harness.rows("SELECT export_id FROM exports"), lambda rows: len(rows) == 1)
        assert {place.parent.name for place in tmp_path.rglob("*") if place.is_file()} == {kept["id"]}  # noqa: ASYNC240


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"format": "xml"}, "format"),
        ({"status": "open"}, "status"),
        ({"round": 0}, "round"),
        ({"cause": "x"}, "cause"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_form_is_refused(clean: Servers, tmp_path: Path, body: dict[str, Any], word: str) -> None:
    async with running_ingest(clean, exports_store=str(tmp_path)) as harness:
        path = await batch(harness, FakeAggregator())
        status, problem = await harness.post(path, json=body)
        assert (status, problem["code"]) == (422, "invalid_command")
        assert word in str(problem)
        for name in ("%2e%2e%2fmanifest.json", "part-00000-1.ndjson", "x" * 50):
            assert (await harness.get(f"{path}/{uuid4()}/files/{name}"))[0] in {404, 422}


async def test_without_the_library_parquet_says_what_to_install(
    clean: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    async with running_ingest(clean, exports_store=str(tmp_path)) as harness:
        path = await batch(harness, FakeAggregator())
        results = path.replace("/exports", "/results?format=parquet")
        for status, problem in (await harness.post(path, json={"format": "parquet"}), await harness.get(results)):
            assert (status, problem["code"]) == (422, "format_unavailable")
            assert "batchyard[parquet]" in problem["detail"]


async def test_results_are_streamed_as_parquet(clean: Servers, tmp_path: Path) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, FakeAggregator())
        results = path.replace("/exports", "/results?format=parquet&order=ordinal")
        status, body, headers = await fetch(harness, results)
        assert (status, headers["Content-Type"]) == (200, "application/vnd.apache.parquet")
        (tmp_path / "all.parquet").write_bytes(body)
        assert rows_of(f"SELECT count(*) FROM '{tmp_path / 'all.parquet'}'") == [(2502,)]


async def test_results_as_json_are_read_back(clean: Servers, tmp_path: Path) -> None:
    async with running_ingest(clean) as harness:
        path = await batch(harness, FakeAggregator())
        status, body, _ = await fetch(harness, path.replace("/exports", "/results?format=json&order=ordinal"))
        assert status == 200
        (tmp_path / "all.json").write_bytes(body)
        table = f"read_json('{tmp_path / 'all.json'}', sample_size=-1)"
        assert rows_of(f"SELECT count(*), count(DISTINCT ordinal) FROM {table}") == [(2502, 2502)]
        found = rows_of(f"SELECT result.title, error.code FROM {table} WHERE ordinal IN (7, 2500) ORDER BY ordinal")
        assert (found[0], found[1][0]) == (("=set 7", None), None)
        assert found[1][1] is not None


async def test_an_export_into_a_bucket(clean: Servers) -> None:
    async with s3_server() as s3:
        place = {"exports_store": f"s3://{BUCKET}/exports", "exports_s3_url": s3.url, "exports_s3_key_id": KEY_ID}
        async with running_ingest(clean, **place, exports_s3_secret=SECRET) as harness:
            path = await batch(harness, FakeAggregator())
            export = await ended(harness, path, format="csv")
            assert (export["state"], len(s3.objects)) == ("succeeded", 3)
            place_ = f"{path}/{export['id']}/files/part-00000-1.csv"
            (whole,) = [content for name, (_, content) in s3.objects.items() if name.endswith("part-00000-1.csv")]
            assert (await fetch(harness, place_))[1] == whole
            assert (await fetch(harness, place_, Range="bytes=10-99"))[1] == whole[10:100]
            async with harness.http.delete(f"{harness.url}{path}/{export['id']}") as response:
                assert response.status == 204
            assert s3.objects == {}


async def test_a_bucket_that_refuses_fails_the_export(clean: Servers) -> None:
    async with s3_server() as s3:
        place = {"exports_store": f"s3://{BUCKET}", "exports_s3_url": s3.url, "exports_s3_key_id": "another"}
        async with running_ingest(clean, **place, exports_s3_secret=uuid.uuid4().hex) as harness:
            path = await batch(harness, FakeAggregator())
            export = await ended(harness, path)
            assert export["state"] == "failed"
            assert "permission" in export["error"]
            assert "wrong-secret" not in export["error"]


class Killed(BaseException):
    """Simulated death of a process."""


class BreakingStore(FolderStore):
    """Folder that breaks while a file is written."""

    def __init__(self, root: Path, breaks: dict[str, BaseException]) -> None:
        super().__init__(root)
        self.breaks = breaks

    async def keep(self, name: str, parts: AsyncIterator[bytes], content_type: str) -> str:
        async def breaking() -> AsyncIterator[bytes]:
            async for part in parts:
                if broken := next((one for one in self.breaks if f"/{one}" in name), None):
                    raise self.breaks.pop(broken)
                yield part

        return await super().keep(name, breaking(), content_type)


async def whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


@asynccontextmanager
async def export_runner_on(servers: Servers, files: FolderStore) -> AsyncIterator[tuple[ExportRunner, Pool]]:
    """Run the exports of another process."""
    settings = IngestSettings(amqp_url=servers.amqp_url, database_url=servers.database_url)
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, "ingest", "services.ingest.persistence", SESSION)
        stack.push_async_callback(pool.close)
        client = await RpcClient.open(servers.amqp_url, "ingest")
        stack.push_async_callback(client.close)
        registry = WorkloadRegistry(pool)
        await registry.reload()
        parts = ExportStore(pool), BatchStore(pool), AggregatorClient(client), registry
        yield ExportRunner(*parts, files), pool


async def run_exports(servers: Servers, root: Path, breaks: dict[str, BaseException]) -> None:
    """Work off all exports on a store that breaks; after a death another process goes on."""
    async with export_runner_on(servers, BreakingStore(root, breaks)) as (runner, pool):
        has_more = True
        while has_more:
            try:
                has_more = await runner.update() is not None
            except Killed:
                await pool.execute("UPDATE exports SET lease_until = NULL")
    assert breaks == {}


@pytest.mark.parametrize("error", [Killed(), StoreFailed("full")], ids=["killed", "store away"])
@pytest.mark.parametrize("broken", ["part-00000", "part-00001", "manifest.json", "manifest.sha256"])
async def test_an_export_that_is_interrupted_anywhere_goes_on(
    clean: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: BaseException
) -> None:
    monkeypatch.setattr(export_runner, "PART_BYTES", 100_000)
    monkeypatch.setattr(export_runner, "_PAUSE", timedelta(0))
    monkeypatch.setattr(ExportRunner, "INTERVAL_S", 3600.0)
    async with running_ingest(clean, exports_store=str(tmp_path)) as harness:
        path = await batch(harness, FakeAggregator())
        _, begun = await harness.post(path, json={})
        place = f"{path}/{begun['id']}"
        await run_exports(clean, tmp_path, {broken: error})
        _, export = await harness.get(place)
        assert (export["state"], export["rows"], export["complete"]) == ("succeeded", 2502, True)
        lines: list[bytes] = []
        for part in export["parts"]:
            _, body, _ = await fetch(harness, f"{place}/files/{part['name']}")
            assert hashlib.sha256(body).hexdigest() == part["sha256"]
            lines += body.splitlines()
        assert [json.loads(line)["ordinal"] for line in lines] == list(range(2502))


async def test_a_process_that_has_lost_its_claim_replaces_no_part(
    clean: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExportRunner, "INTERVAL_S", 3600.0)
    async with running_ingest(clean, exports_store=str(tmp_path)) as harness:
        path = await batch(harness, FakeAggregator())
        _, begun = await harness.post(path, json={})
        place = f"{path}/{begun['id']}"
        folder = tmp_path / path.split("/")[2] / begun["id"]
        began, goes_on = asyncio.Event(), asyncio.Event()

        class SlowStore(FolderStore):
            async def keep(self, name: str, parts: AsyncIterator[bytes], content_type: str) -> str:
                if "part-00000-1" not in name:
                    return await super().keep(name, parts, content_type)
                _ = [part async for part in parts]
                began.set()
                await goes_on.wait()
                return await super().keep(name, whole(b"{}"), content_type)

        async with export_runner_on(clean, SlowStore(tmp_path)) as (slow, pool):
            late = asyncio.create_task(slow.update())
            await began.wait()
            await pool.execute("UPDATE exports SET lease_until = NULL")
            await run_exports(clean, tmp_path, {})
            goes_on.set()
            await late
        _, export = await harness.get(place)
        assert (export["state"], [part["name"] for part in export["parts"]]) == ("succeeded", ["part-00000-2.ndjson"])
        assert sorted(file.name for file in folder.iterdir()) == [
            "manifest.json",
            "manifest.sha256",
            "part-00000-2.ndjson",
        ]
        _, body, _ = await fetch(harness, f"{place}/files/part-00000-2.ndjson")
        assert hashlib.sha256(body).hexdigest() == export["parts"][0]["sha256"]
        async with harness.http.delete(f"{harness.url}{place}") as response:
            assert response.status == 204
        assert not folder.exists()


async def test_an_export_that_is_deleted_while_it_is_written_leaves_no_file(
    clean: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_runner, "PART_BYTES", 100_000)
    async with running_ingest(clean, exports_store=str(tmp_path)) as harness:
        ledger = FakeAggregator()
        path = await batch(harness, ledger)
        deleting: list[asyncio.Task[str]] = []

        async def delete() -> str:
            (row,) = await harness.rows("SELECT export_id FROM exports")
            async with harness.http.delete(f"{harness.url}{path}/{row['export_id']}") as response:
                assert response.status == 204
            return str(row["export_id"])

        def while_it_deletes(query: StreamQuery) -> Message:
            if len(ledger.queries) == 2:
                deleting.append(asyncio.create_task(delete()))
            return ledger.stream(query)

        harness.answers[StreamQuery] = while_it_deletes
        assert (await harness.post(path, json={}))[0] == 202
        await until_true(lambda: deleting and deleting[0].done())
        await ended(harness, path, format="csv")  # the first one is left by now
        assert not (tmp_path / path.split("/")[2] / await deleting[0]).exists()


async def test_a_folder_that_cannot_be_written_is_told_at_once(clean: Servers, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    async with running_ingest(clean, exports_store=str(tmp_path / "file" / "exports")) as harness:
        path = await batch(harness, FakeAggregator())
        status, problem = await harness.post(path, json={})
        assert (status, problem["code"]) == (503, "store_unavailable")
        assert "BATCHYARD_EXPORTS_STORE" in problem["detail"]
