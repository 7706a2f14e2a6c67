"""schemathesis over the HTTP API of a running cluster: valid and invalid requests, alone and in sequences."""

import asyncio
import os
import sys
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from devstack import Servers
from tests.support.cluster import Cluster, running_cluster
from tests.support.submitting_clients import SubmittingClients

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.fuzz]
TOKEN = "a-token-for-the-tests"
CONFIG = Path(__file__).with_name("schemathesis.toml")
_EXAMPLES = 20
"""Requests for each operation, and sequences of requests."""
_MOST_S = 45
"""Length after which a run begins no further phase, in seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(servers: Servers) -> AsyncIterator[Cluster]:
    """The five services, with one owner, who is an operator."""
    environment = {"BATCHYARD_API_TOKENS": f'{{"ann": "{TOKEN}"}}', "BATCHYARD_OPERATORS": '["ann"]'}
    async with running_cluster(servers, environment, workers=1, token=TOKEN) as running:
        yield running


async def test_the_api_does_what_its_description_says(cluster: Cluster, fuzz_seed: int, tmp_path: Path) -> None:
    pids = cluster.pids()
    program = Path(sysconfig.get_path("scripts")) / "schemathesis"
    address = f"{cluster.urls[0]}/openapi.json"
    options = [f"--seed={fuzz_seed}", f"--max-examples={_EXAMPLES}", f"--max-time={_MOST_S}", "--continue-on-failure"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        program,
        "--no-color",
        f"--config-file={CONFIG}",
        "run",
        address,
        *options,
        cwd=tmp_path,
        env={**os.environ, "BATCHYARD_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert cluster.pids() == pids
    assert cluster.defects() == []
    await SubmittingClients(cluster.urls, TOKEN).finish_one()
