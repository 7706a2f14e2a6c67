"""`status` and `env` say where Batchyard is and whether it works."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from services.cli.client.cluster_file import RunningCluster, published
from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import FakeCluster, Run

WORKER = {"worker_id": "w", "workloads": ["noop"], "chunks": [], "running": 0, "stopping": False}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BATCHYARD_HOME", str(tmp_path))
    return tmp_path


async def test_status_shows_address_servers_workers_and_workloads(run: Run, cluster: FakeCluster, home: Path) -> None:
    cluster.answer("GET /workloads", {"workloads": [{"name": "noop"}, {"name": "http"}]})
    cluster.answer("GET /workers", {"workers": [WORKER]})
    variables = {"BATCHYARD_AMQP_URL": "amqp://ann:secret@127.0.0.1:5672/"}
    with published(home, RunningCluster(cluster.url, variables)):
        ended = await run("status")
        shown = json.loads((await run("status", "--json")).out)
    assert ended.code == Exit.OK
    assert f"{cluster.url}, the local cluster" in ended.out
    assert "amqp://127.0.0.1:5672/" in ended.out
    assert "secret" not in ended.out.replace("webhook-secret", "")
    assert (shown["workers"], shown["workloads"], shown["local"], shown["working"]) == (1, ["noop", "http"], True, True)


async def test_status_of_a_server_that_does_not_answer_fails(run: Run, home: Path, unused_tcp_port: int) -> None:
    ended = await run("status", "--url", f"http://127.0.0.1:{unused_tcp_port}")
    assert ended.code == Exit.UNREACHABLE
    assert "Nothing answers" in ended.err


async def test_status_says_that_no_worker_runs(run: Run, cluster: FakeCluster, home: Path) -> None:
    cluster.answer("GET /workloads", {"workloads": []})
    cluster.answer("GET /workers", {"workers": []})
    assert "No worker runs" in (await run("status")).err


async def test_env_can_be_evaluated_by_a_shell(run: Run, home: Path) -> None:
    variables = {"BATCHYARD_AMQP_URL": "amqp://ann:it's@h/", "BATCHYARD_URL": "http://127.0.0.1:8000"}
    with published(home, RunningCluster("http://127.0.0.1:8000", variables)):
        printed = (await run("env")).out
        as_json = json.loads((await run("env", "--json")).out)
    script = f'{printed}\nprintf "%s %s" "$BATCHYARD_AMQP_URL" "$BATCHYARD_URL"'
    said = await asyncio.to_thread(subprocess.check_output, ["/bin/sh", "-c", script], text=True)
    assert said == "amqp://ann:it's@h/ http://127.0.0.1:8000"
    assert as_json == variables


async def test_env_prints_the_addresses_of_one_account(run: Run, home: Path) -> None:
    accounts = {"worker": {"BATCHYARD_AMQP_URL": "amqp://worker:w@h/"}, "ingest": {"BATCHYARD_AMQP_URL": "amqp://i@h/"}}
    with published(home, RunningCluster("http://127.0.0.1:8000", {"BATCHYARD_AMQP_URL": "amqp://c@h/"}, accounts)):
        printed = (await run("env", "--as", "worker")).out
        refused = await run("env", "--as", "nobody")
    assert printed == "export BATCHYARD_AMQP_URL=amqp://worker:w@h/\n"
    assert (refused.code, refused.out) == (Exit.USAGE, "")
    assert "ingest, worker" in refused.err


async def test_env_without_a_cluster_fails(run: Run, home: Path) -> None:
    ended = await run("env")
    assert (ended.code, ended.out) == (Exit.UNREACHABLE, "")
    assert "batchyard up" in ended.err
