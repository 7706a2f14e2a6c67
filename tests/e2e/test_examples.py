"""The examples do what they say, each as a program of its own against the running services."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import aio_pika
import pytest

from batchyard_contracts.ids import new_batch_id
from batchyard_contracts.topology import COMMANDS
from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.values import NewItem
from tests.support.yard import Yard

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_the_client_in_twenty_lines(yard: Yard) -> None:
    said = await _run(yard, sys.executable, "-W", "error", str(EXAMPLES / "submit_and_wait.py"))
    lines = said.splitlines()
    assert lines[-1] == "9 succeeded {'n': 81}"
    assert "10 of 10" in lines


async def test_plain_aio_pika(yard: Yard) -> None:
    source = (EXAMPLES / "plain_aio_pika.py").read_text("utf-8")
    assert "import batchyard" not in source
    assert "from batchyard" not in source
    said = await _run(yard, sys.executable, "-W", "error", str(EXAMPLES / "plain_aio_pika.py"))
    assert "finished: completed" in said


async def test_node(yard: Yard, tmp_path: Path) -> None:
    folder = tmp_path / "node"
    shutil.copytree(EXAMPLES / "node", folder, ignore=shutil.ignore_patterns("node_modules", "package-lock.json"))
    node = _program("node")
    await _run(yard, _program("npm"), "install", "--no-package-lock", "--no-audit", "--no-fund", cwd=folder)
    said = await _run(yard, node, "submit.mjs", cwd=folder)
    assert "finished: completed" in said
    assert len((EXAMPLES / "node" / "submit.mjs").read_text("utf-8").splitlines()) < 80


async def test_shell(yard: Yard) -> None:
    _program("amqp-publish")
    said = await _run(yard, str(EXAMPLES / "shell" / "submit.sh"))
    assert '"result":"completed"' in said


async def test_a_sender_that_cannot_set_the_type_is_understood_by_its_routing_key(yard: Yard) -> None:
    batch_id = new_batch_id()
    body = BatchSubmit(workload="noop", items=[NewItem(payload={"n": 5})], batch_id=batch_id).encode()
    connection = await aio_pika.connect(yard.servers.amqp_url)
    async with connection, connection.channel(on_return_raises=True) as channel:
        commands = await channel.get_exchange(COMMANDS, ensure=False)
        await commands.publish(aio_pika.Message(body), "batch.submit.v1", mandatory=True)
    assert (await yard.client.wait(batch_id, 30)).result == "completed"


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


async def _run(yard: Yard, *argv: str, cwd: Path = EXAMPLES) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env={**os.environ, "BATCHYARD_AMQP_URL": yard.servers.amqp_url},
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
