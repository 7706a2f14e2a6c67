"""Tests that each example works as a program of its own against the running services."""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import aio_pika
import pytest

from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.topology import COMMANDS
from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.values import NewItem
from tests.support.cluster import Cluster, until_announced
from tests.support.patience import PATIENCE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_the_python_client_example_runs(cluster: Cluster) -> None:
    said = await _run(cluster, sys.executable, "-W", "error", str(EXAMPLES / "submit_and_wait.py"))
    lines = said.splitlines()
    assert lines[-1] == "9 succeeded {'n': 81}"
    assert "10 of 10" in lines


async def test_the_aio_pika_example_runs(cluster: Cluster) -> None:
    source = (EXAMPLES / "plain_aio_pika.py").read_text("utf-8")
    assert "import batchyard" not in source
    assert "from batchyard" not in source
    said = await _run(cluster, sys.executable, "-W", "error", str(EXAMPLES / "plain_aio_pika.py"))
    assert "finished: completed" in said


@pytest.mark.parametrize(
    ("file", "workload"),
    [
        ("tracklists.ndjson", "tracklists"),
        ("distances.csv", "distances"),
        ("predictions-portfolio.ndjson", "predictions"),
    ],
)
async def test_example_inputs_of_workloads_are_accepted(cluster: Cluster, file: str, workload: str) -> None:
    kind = {"csv": "text/csv", "ndjson": "application/x-ndjson"}[file.rpartition(".")[2]]
    body = (EXAMPLES / file).read_bytes()
    async with cluster.http.post(f"batches?workload={workload}", data=body, headers={"Content-Type": kind}) as answer:
        assert answer.status == 202, await answer.text()
        batch_id = UUID((await answer.json())["batch_id"])
    assert (await cluster.client.wait(batch_id, PATIENCE_S)).result == "completed"


async def test_the_node_example_runs(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "node"
    shutil.copytree(EXAMPLES / "node", folder, ignore=shutil.ignore_patterns("node_modules"))
    node = _program("node")
    await _run(cluster, _program("npm"), "ci", "--no-audit", "--no-fund", cwd=folder)
    said = await _run(cluster, node, "submit.mjs", cwd=folder)
    assert "finished: completed" in said
    assert len((EXAMPLES / "node" / "submit.mjs").read_text("utf-8").splitlines()) < 80


async def test_a_client_generated_in_typescript_fits_the_api_and_runs(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "examples" / "typescript"
    shutil.copytree(EXAMPLES / "typescript", folder, ignore=shutil.ignore_patterns("node_modules", "build", "api.d.ts"))
    (tmp_path / "contracts").symlink_to(EXAMPLES.parent / "contracts")
    npm = _program("npm")
    await _run(cluster, npm, "ci", "--no-audit", "--no-fund", cwd=folder)
    for script in ("generate", "build"):
        await _run(cluster, npm, "run", script, cwd=folder)
    said = await _run(cluster, npm, "start", "--silent", cwd=folder)
    assert said.splitlines()[1:] == [
        "finished: completed 2 of 2",
        "0 seven succeeded { n: 49 }",
        "1 undefined succeeded { n: 64 }",
        "refused: unknown_workload",
    ]


async def test_a_restarted_worker_in_another_language_completes_its_batch(cluster: Cluster, tmp_path: Path) -> None:
    assert len((EXAMPLES / "node-worker" / "worker.mjs").read_text("utf-8").splitlines()) < 80
    folder = tmp_path / "node-worker"
    shutil.copytree(EXAMPLES / "node-worker", folder, ignore=shutil.ignore_patterns("node_modules"))
    node, npm = _program("node"), _program("npm")
    await _run(cluster, npm, "ci", "--no-audit", "--no-fund", cwd=folder)
    async with _running(cluster, node, "worker.mjs", cwd=folder) as first:
        await until_announced(cluster.http, "node-words")
        items = [NewItem(payload={"text": "word " * (n % 7)} if n % 7 else {"text": " "}) for n in range(28_000)]
        receipt = await cluster.client.submit("node-words", items)
        await until(lambda: cluster.client.batch(receipt.batch_id), lambda state: state.counts.ended)
        first.kill()
        await first.wait()
    assert (await cluster.client.batch(receipt.batch_id)).counts.remaining
    async with _running(cluster, node, "worker.mjs", cwd=folder) as second:
        finished = await cluster.client.wait(receipt.batch_id, 90)
        assert (finished.counts.succeeded, finished.counts.failed) == (24_000, 4000)
        await cluster.check_ledger(receipt.batch_id, 28_000)
        assert [group.code for group in await cluster.client.failures(receipt.batch_id)] == ["no_words"]
        second.terminate()
        assert await asyncio.wait_for(second.wait(), PATIENCE_S) == 0


async def test_the_shell_example_runs(cluster: Cluster) -> None:
    _program("amqp-publish")
    said = await _run(cluster, str(EXAMPLES / "shell" / "submit.sh"))
    assert '"result":"completed"' in said


async def test_a_message_without_a_type_is_read_by_its_routing_key(cluster: Cluster) -> None:
    batch_id = new_batch_id()
    body = BatchSubmit(workload="noop", items=[NewItem(payload={"n": 5})], batch_id=batch_id).encode()
    connection = await aio_pika.connect(cluster.servers.amqp_url)
    async with connection, connection.channel(on_return_raises=True) as channel:
        commands = await channel.get_exchange(COMMANDS, ensure=False)
        await commands.publish(aio_pika.Message(body), "batch.submit.v1", mandatory=True)
    assert (await cluster.client.wait(batch_id, PATIENCE_S)).result == "completed"


def _addresses(cluster: Cluster, user: str = "default") -> dict[str, str]:
    url = str(cluster.http._base_url).removesuffix("/api/v1/")
    return {"BATCHYARD_AMQP_URL": cluster.amqp_url_of(user), "BATCHYARD_URL": url}


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@asynccontextmanager
async def _running(cluster: Cluster, *argv: str, cwd: Path) -> AsyncIterator[Process]:
    """A worker, with the rights of one."""
    environment = {**os.environ, **_addresses(cluster, "worker")}
    process = await asyncio.create_subprocess_exec(*argv, cwd=cwd, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _run(cluster: Cluster, *argv: str, cwd: Path = EXAMPLES) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env={**os.environ, **_addresses(cluster)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 120)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    return output.decode()
