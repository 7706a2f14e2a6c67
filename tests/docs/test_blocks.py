"""Every block of README and docs runs as it stands, twice on one cluster."""

import json
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from devstack.stack import PROJECT
from tests.docs.blocks import RUN, SHOWN, Block, blocks

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
WITHIN_S = 120
_RUN_PYTHON = Path(__file__).with_name("run_python.py")


def _name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_block_names_its_language(page: Path) -> None:
    assert [block.line for block in blocks(page) if block.language not in RUN | SHOWN] == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_document_in_a_block_can_be_read(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.code)
        if block.language == "toml":
            tomllib.loads(block.code)


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("page", [page for page in PAGES if any(block.is_run for block in blocks(page))], ids=_name)
def test_every_block_runs(page: Path, again: bool, reader: Mapping[str, str], tmp_path: Path) -> None:
    for folder in ("examples", "contracts"):
        (tmp_path / folder).symlink_to(PROJECT / folder)
    for block in blocks(page):
        if block.is_run:
            _run(block, reader, tmp_path)


def _run(block: Block, reader: Mapping[str, str], folder: Path) -> None:
    code = block.code.replace("http://127.0.0.1:8000", reader["BATCHYARD_URL"])
    code = code.replace("amqp://guest:guest@localhost/", reader["BATCHYARD_AMQP_URL"])
    file = folder / f"line_{block.line}.{block.language[:2]}"
    file.write_text(code, "utf-8")
    if block.language == "sh":
        argv = ["bash", "-euo", "pipefail", str(file)]
    elif "Workload(" in code:
        argv = ["batchyard", "workload", "test", str(file)]
    else:
        argv = ["python", str(_RUN_PYTHON), str(file)]
    ended = subprocess.run(argv, cwd=folder, env=reader, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    where = f"{_name(block.page)}:{block.line}"
    said = f"{ended.stdout[-3000:]}{ended.stderr[-3000:]}"
    assert ended.returncode == 0, f"{where} ended with {ended.returncode}\n{code}\n{said}"
