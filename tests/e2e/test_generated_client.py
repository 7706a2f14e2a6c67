"""A client that a generator makes from `contracts/openapi.json` works against the running services."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from tests.support.cluster import Cluster
from tests.support.command import PROJECT

pytestmark = pytest.mark.asyncio(loop_scope="session")

_PROGRAM = """
import sys, time
from generated import AuthenticatedClient
from generated.api.batches import batches_failures, batches_list_all, batches_show, batches_submit
from generated.api.results import results_results
from generated.models import BatchSubmit, Problem

with AuthenticatedClient(base_url=sys.argv[1], token="none is needed") as client:
    items = [{"payload": {"n": 7}, "custom_id": "a"}, {"payload": {"n": 8, "fail": "no_luck"}}]
    submit = BatchSubmit.from_dict({"workload": "noop", "items": items, "labels": {"team": "a"}})
    accepted = batches_submit.sync(client=client, body=submit)
    while (state := batches_show.sync(accepted.batch_id, client=client)).status != "finished":
        time.sleep(0.05)
    print(state.result, state.counts.succeeded, state.counts.failed)
    print([(one.ordinal, one.status.value) for one in results_results.sync(accepted.batch_id, client=client)])
    print([group.code for group in batches_failures.sync(accepted.batch_id, client=client).groups])
    listed = batches_list_all.sync(client=client, limit=5, label=["team=a"])
    print(accepted.batch_id in [batch.batch_id for batch in listed.batches])
    wrong = batches_submit.sync(client=client, body=BatchSubmit.from_dict({"workload": "absent", "items": items}))
    print(isinstance(wrong, Problem), wrong.code)
"""


async def test_a_generated_client_submits_waits_and_reads(cluster: Cluster, tmp_path: Path) -> None:
    document = str(PROJECT / "contracts" / "openapi.json")
    options = ("--path", document, "--meta", "none", "--output-path", str(tmp_path / "generated"))
    said = await _run(sys.executable, "-m", "openapi_python_client", "generate", *options)
    assert "ERROR" not in said
    lost = [line for line in said.splitlines() if line.startswith("Unsupported") or "will not be generated" in line]
    assert set(lost) <= {f"Unsupported content type {kind}" for kind in ("application/x-ndjson", "text/csv")}
    url = str(cluster.http._base_url).removesuffix("/api/v1/")
    printed = await _run(sys.executable, "-c", _PROGRAM, url, folder=tmp_path)
    assert printed.splitlines() == [
        "partial 1 1",
        "[(0, 'succeeded'), (1, 'failed')]",
        "['no_luck']",
        "True",
        "True unknown_workload",
    ]


async def _run(*argv: str, folder: Path = PROJECT) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(*argv, cwd=folder, env=environment, stdout=PIPE, stderr=STDOUT)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()
