"""Tests of the demo as a user starts it: each of its own checks passes, and no process stays behind."""

import asyncio
import csv
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from io import StringIO
from pathlib import Path

import pytest

from devstack import Servers
from devstack.component import COMPONENTS
from examples.demo.others import samples
from tests.support.command import PROJECT

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.long]
WITHIN_S = 240.0


async def test_the_demo_completes_and_writes_its_results(servers: Servers, tmp_path: Path) -> None:
    # On servers of its own: workers of another cluster would take its chunks, and may not fetch from its site.
    named = {component.variable for component in COMPONENTS.values()}
    environment = {name: value for name, value in os.environ.items() if name not in named}
    environment["BATCHYARD_HOME"] = str(tmp_path / "home")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", "demo", "--output", str(tmp_path / "out"),
        env=environment, cwd=PROJECT, stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(WITHIN_S):
        said, _ = await process.communicate()
    text = said.decode()
    assert process.returncode == 0, text
    assert text.count("✓") == 8, text
    assert "✗" not in text
    _, others = text.split("Other workloads")
    shown = {line.split()[0] for line in others.split("Checked")[0].splitlines() if line.strip()}
    assert shown == {one.workload for one in samples([])}
    items = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert len(items) == 150
    rows = list(csv.DictReader(StringIO((tmp_path / "out" / "results.csv").read_text("utf-8-sig"))))
    assert len(rows) == 150
    sheets = list((tmp_path / "out" / "cue").iterdir())
    assert len(sheets) > 100
    assert all('FILE "' in sheet.read_text("utf-8") for sheet in sheets)
