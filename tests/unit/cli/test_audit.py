"""`batchyard audit` shows who changed what, and writes all of it to a file."""

from pathlib import Path

import pytest
from aiohttp import web

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import FakeCluster, Run

ENTRY = {
    "id": 7, "at": "2026-11-30T06:00:00Z", "owner": "ann", "actor": "operator", "key_id": "0aB1cD2e", "door": "http",
    "address": "192.0.2.7", "action": "batch.change", "object": "019a2b3c-0000-7000-8000-000000000001",
    "before": {"priority": "normal"}, "after": {"priority": "low"},
}  # fmt: skip


async def test_entries_are_shown_with_who_and_what(cluster: FakeCluster, run: Run) -> None:
    cluster.answer("GET /audit", {"entries": [ENTRY, {**ENTRY, "actor": "ann", "before": None, "key_id": None}]})
    ended = await run("audit", "--action", "batch.change", "--since", "2026-11-30T06:00")
    assert ended.code == Exit.OK
    for words in ("operator for ann", "http 0aB1cD2e 192.0.2.7", "priority normal -> priority low", ENTRY["object"]):
        assert str(words) in ended.out
    (query,) = cluster.queries
    assert dict(query)["action"] == "batch.change"
    assert dict(query)["since"].startswith("2026-11-30T06:00")


async def test_values_are_written_as_people_write_them(cluster: FakeCluster, run: Run) -> None:
    after = {"scopes": ["batches:read", "keys:write"], "labels": [], "expires_at": None, "force": True, "weight": 2}
    cluster.answer("GET /audit", {"entries": [{**ENTRY, "before": None, "after": after}]})
    out = (await run("audit")).out
    assert "scopes batches:read keys:write, labels none, expires_at none, force true, weight 2" in out


async def test_all_entries_go_to_a_file(cluster: FakeCluster, run: Run, tmp_path: Path) -> None:
    async def lines(request: web.Request) -> web.Response:
        assert request.query["format"] == "ndjson"
        return web.Response(body=b'{"id": 2}\n{"id": 1}\n', content_type="application/x-ndjson")

    cluster.answer("GET /audit", lines)
    ended = await run("audit", "--output", str(tmp_path / "audit.ndjson"))
    assert ended.code == Exit.OK, ended.err
    assert (tmp_path / "audit.ndjson").read_bytes() == b'{"id": 2}\n{"id": 1}\n'
    assert "2 entries" in ended.err


async def test_a_list_that_goes_on_says_how(cluster: FakeCluster, run: Run) -> None:
    cluster.answer("GET /audit", {"entries": [ENTRY], "next_before": 7})
    assert "--before 7" in (await run("audit")).err
    cluster.answer("GET /audit", {"entries": [{**ENTRY, "id": 6}]})
    assert "--before" not in (await run("audit", "--before", "7")).err
    assert dict(cluster.queries[-1])["before"] == "7"


async def test_a_time_is_one(cluster: FakeCluster, run: Run) -> None:
    assert (await run("audit", "--since", "yesterday")).code == Exit.USAGE


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_key_goes_to_another_machine_by_https_alone(
    run: Run, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHYARD_URL", "http://batchyard.invalid:1")
    monkeypatch.setenv("BATCHYARD_TOKEN", "by_live_secret")
    if allowed:
        monkeypatch.setenv("BATCHYARD_ALLOW_CLEAR_PASSWORDS", "true")
    ended = await run("keys", "list")
    assert ended.code == (Exit.UNREACHABLE if allowed else Exit.USAGE)
    assert "unencrypted" in ended.err
