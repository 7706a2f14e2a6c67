"""Tests of the command line against running services, and of the local cluster that it starts itself."""

import asyncio
import csv
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
import pytest

from devstack import Servers, free_ports
from services.cli import local_cluster
from services.cli.client.cluster_file import CLUSTER_FILE
from services.cli.exit_codes import Exit
from tests.support.cluster import Cluster
from tests.support.command import PROJECT, Command
from tests.support.patience import PATIENCE_S, until, until_true
from tests.support.tracklist_site import good_page

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]


@pytest.fixture
def cli(cluster: Cluster, tmp_path: Path) -> Command:
    url = str(cluster.http._base_url).removesuffix("/api/v1/")
    return Command(
        {"BATCHYARD_URL": url, "BATCHYARD_HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}
    )


async def test_a_file_is_submitted_watched_and_its_results_fetched(
    cli: Command, cluster: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "items.ndjson"
    file.write_text("".join(f'{{"payload": {{"n": {n}}}, "custom_id": "c{n}"}}\n' for n in range(300)))
    ended = await cli(
        "submit", "noop", str(file), "--name", "Squares", "--label", "team=a", "--priority", "immediate",
        "--notify-webhook", cluster.webhooks.url, "--watch",
    )  # fmt: skip
    assert ended.code == Exit.OK, ended.err
    assert "100% 300/300  300 succeeded  completed" in ended.err
    batch = ended.out.strip()
    shown = (await cli("show", batch, "--json")).json
    assert (shown["name"], shown["labels"], shown["priority"], shown["result"]) == (
        "Squares", {"team": "a"}, "immediate", "completed",
    )  # fmt: skip
    assert (await cli("list", "--workload", "noop", "--limit", "1", "--json")).json["batches"][0]["batch_id"] == batch
    table = tmp_path / "results.csv"
    assert (await cli("results", "last", "--format", "csv", "--output", str(table))).code == Exit.OK
    rows = list(csv.DictReader(StringIO(table.read_text("utf-8-sig"))))
    assert [(row["custom_id"], row["n"]) for row in rows] == [(f"c{n}", str(n * n)) for n in range(300)]
    lines = (await cli("results", batch)).out.splitlines()
    assert [json.loads(line)["ordinal"] for line in lines] == list(range(300))
    async with asyncio.timeout(PATIENCE_S):
        while not any(call.payload["data"]["batch_id"] == batch for call in cluster.webhooks.calls):
            await cluster.webhooks.wait_for(len(cluster.webhooks.calls) + 1)


async def test_failures_end_with_their_own_code_and_can_be_retried(cli: Command) -> None:
    sheet = b"n,fail,custom_id\n1,,a\n2,broken,b\n3,broken,c\n"
    ended = await cli("submit", "noop", "-", "--format", "csv", "--watch", "--json", stdin=sheet)
    assert ended.code == Exit.BATCH_FAILED
    accepted, *_, finished = [json.loads(line) for line in ended.out.splitlines()]
    assert accepted["type"] == "command.accepted.v1"
    assert (finished["result"], finished["counts"]["failed"]) == ("partial", 2)
    batch = accepted["batch_id"]
    groups = (await cli("failures", batch, "--json")).json["groups"]
    assert [(group["code"], group["count"], group["ordinals"]) for group in groups] == [("broken", 2, [1, 2])]
    failed = (await cli("results", batch, "--code", "broken", "--json")).json
    assert [item["custom_id"] for item in failed] == ["b", "c"]
    assert "running 2 items again" in (await cli("retry", batch)).out
    assert (await cli("watch", batch)).code == Exit.BATCH_FAILED
    state = (await cli("show", batch, "--json")).json
    assert (state["round"], state["counts"]["succeeded"], state["counts"]["failed"]) == (2, 1, 2)


async def test_an_invalid_line_is_named_and_nothing_is_submitted(cli: Command, tmp_path: Path) -> None:
    newest = (await cli("list", "--limit", "1", "--json")).json["batches"]
    good = '{"n": 1, "fail": "' + "x" * 60 + '"}\n'
    file = tmp_path / "long.ndjson"
    file.write_text(good * 3 + '{"n": "x"}\n' + good * 100_000)
    ended = await cli("submit", "noop", str(file))
    assert (ended.code, ended.out) == (Exit.USAGE, ""), ended.err
    assert "Line 4:" in ended.err
    assert (await cli("list", "--limit", "1", "--json")).json["batches"] == newest


async def test_the_same_key_is_the_same_batch(cli: Command) -> None:
    key = f"key-{time.time_ns()}"
    submit = ("submit", "noop", "--idempotency-key", key, "--json", "--item")
    first, again, other = [await cli(*submit, item) for item in ('{"n": 1}', '{"n": 1}', '{"n": 2}')]
    assert again.json == {**first.json, "replayed": True}
    assert other.code == Exit.REFUSED
    assert "idempotency key" in other.err


async def test_a_batch_is_paused_changed_resumed_and_cancelled(cli: Command) -> None:
    items = "".join(f'{{"n": {n}, "sleep_s": 3}}\n' for n in range(5000))
    batch = (await cli("submit", "noop", "-", stdin=items.encode())).out.strip()
    assert (await cli("pause", batch)).code == Exit.OK
    await _until(cli, batch, lambda now: now["status"] == "paused")
    assert (await cli("priority", batch, "low")).code == Exit.OK
    assert (await cli("resume", batch)).code == Exit.OK
    assert (await cli("cancel", batch)).code == Exit.OK
    ended = await cli("watch", batch)
    assert ended.code == Exit.BATCH_FAILED
    state = (await cli("show", batch, "--json")).json
    assert (state["result"], state["priority"]) == ("cancelled", "low")
    counts = state["counts"]
    assert counts["succeeded"] + counts["cancelled"] == 5000
    assert counts["cancelled"] > 0


async def test_an_export_becomes_a_folder(cli: Command, tmp_path: Path) -> None:
    file = tmp_path / "pages.json"
    pages = [{"html": good_page(f"ok00000{n}", "https://www.1001tracklists.com")} for n in range(1, 4)]
    file.write_text(json.dumps(pages))
    assert (await cli("submit", "tracklists", str(file), "--watch")).code == Exit.OK
    ended = await cli("results", "last", "--format", "cue", "--output", str(tmp_path / "cue"))
    assert ended.out == f"{tmp_path / 'cue'}\n"
    sheets = sorted(os.listdir(tmp_path / "cue"))  # noqa: PTH208
    assert len(sheets) == 3
    assert all(sheet.endswith(".cue") for sheet in sheets)


async def test_unknown_batches_exit_with_not_found(cli: Command) -> None:
    absent = "019a2b3c-0000-7000-8000-000000000001"
    for ended in await asyncio.gather(*(cli(each, absent) for each in ("show", "failures", "cancel", "watch"))):
        assert (ended.code, ended.out) == (Exit.NOT_FOUND, ""), ended
    ended = await cli("submit", "absent", "--item", "{}")
    assert ended.code == Exit.NOT_FOUND
    assert "absent" in ended.err


async def test_workloads_and_workers_are_listed(cli: Command) -> None:
    workers = (await cli("workers", "--json")).json["workers"]
    assert len([one for one in workers if {"noop", "tracklists"} <= set(one["workloads"])]) >= 2
    names = [workload["name"] for workload in (await cli("workloads", "--json")).json["workloads"]]
    assert {"noop", "tracklists"} <= set(names)
    shown = await cli("workloads", "noop")
    assert """batchyard submit noop --item '{"n":7}'""" in shown.out


async def test_up_starts_every_service_and_down_stops_them(servers: Servers, tmp_path: Path) -> None:
    home = tmp_path / "home"
    cli = Command({**servers.environment(), "BATCHYARD_HOME": str(home)})
    try:
        ended = await cli("up", "--detach", "--workers", "2", "--json")
        assert ended.code == Exit.OK, ended.err
        assert "RabbitMQ: given by BATCHYARD_AMQP_URL" in ended.err
        url = ended.json["url"]
        assert (await cli("up", "--detach", "--json")).json == {"url": url}
        again = await cli("up")
        assert again.code == Exit.UNREACHABLE
        assert "batchyard down" in again.err
        assert (await cli("submit", "noop", "--item", '{"n": 3}', "--watch")).code == Exit.OK
    finally:
        ended = await cli("down", "--json")
    assert (ended.code, ended.json) == (Exit.OK, {"running": False})
    assert not _processes_of(home)
    assert (await Command({"BATCHYARD_HOME": str(home), "BATCHYARD_URL": url})("list")).code == Exit.UNREACHABLE


async def test_up_ends_at_once_with_the_sentence_of_an_error_that_no_restart_mends(
    servers: Servers, tmp_path: Path
) -> None:
    wrong = {"BATCHYARD_API_TOKENS": '{"ann": "short"}', "BATCHYARD_HOME": str(tmp_path / "home")}
    cli = Command({**servers.environment(), **wrong})
    for detach in ((), ("--detach",)):
        ended = await cli("up", *detach)
        assert (ended.code, ended.out) == (Exit.UNREACHABLE, "")
        assert ended.err.count("BATCHYARD_API_TOKENS") == 1, ended.err
        assert "batchyard ingest: BATCHYARD_API_TOKENS: `ann` takes at least 16 characters" in ended.err
        assert "starting again" not in ended.err


async def test_up_takes_another_port_when_its_own_is_taken_meanwhile(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        ports = iter([stranger.getsockname()[1], *free_ports(1)])
        monkeypatch.setattr(local_cluster, "_http_port", lambda: next(ports))
        said: list[str] = []
        for name, value in servers.environment().items():
            monkeypatch.setenv(name, value)
        async with local_cluster.local_cluster(local_cluster.Plan(tmp_path / "home"), said.append) as running:
            cli = Command({"BATCHYARD_HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")})
            assert (await cli("status", "--json")).json["url"] == running.url
            assert next(ports, None) is None
            env = (await cli("env", "--json")).json
            assert env["BATCHYARD_AMQP_URL"] == servers.amqp_url


async def test_up_refuses_a_named_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        ended = await Command({"BATCHYARD_HOME": str(tmp_path / "home")})("up", "--port", port)
    assert ended.code == Exit.UNREACHABLE
    assert f"Port {port} is taken" in ended.err


async def test_ctrl_c_while_watching_says_how_to_watch_again(cli: Command) -> None:
    batch = (await cli("submit", "noop", "--item", '{"n": 1, "sleep_s": 30}')).out.strip()
    environment = {**os.environ, **cli.environment}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli",
        "watch",
        batch,
        env=environment,
        cwd=PROJECT,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        assert b"0/1" in await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = (await process.stderr.read()).decode()
        assert await process.wait() == Exit.INTERRUPTED
    assert rest.splitlines()[-1] == f"The batch goes on. Watch it again: batchyard watch {batch}"
    assert (await cli("cancel", batch)).code == Exit.OK


async def test_ctrl_c_stops_all_services_cleanly(servers: Servers, tmp_path: Path) -> None:
    home = tmp_path / "home"
    cli = Command({**servers.environment(), "BATCHYARD_HOME": str(home)})
    running = asyncio.create_task(cli("up"))
    address = home / CLUSTER_FILE
    await until_true(lambda: address.is_file() or running.done())
    assert not running.done(), running.result().err
    (process,) = [each for each in _processes_of(home) if "up" in each.cmdline()]
    process.send_signal(2)
    ended = await running
    assert ended.code == Exit.OK, ended.err
    assert not _processes_of(home)
    assert not address.exists()


async def _until(cli: Command, batch: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the condition holds for the batch, and return it."""

    async def ask() -> dict[str, Any]:
        shown: dict[str, Any] = (await cli("show", batch, "--json")).json
        return shown

    return await until(ask, condition)


def _processes_of(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("BATCHYARD_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
