"""Every block of README and docs runs as it stands, twice on one cluster."""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from shlex import quote

import pytest

from devstack.stack import PROJECT
from tests.docs.blocks import RUN, SHOWN, Block, blocks
from tests.docs.conftest import Open
from tests.docs.shell_session import ShellSession

README = PROJECT / "README.md"
PAGES = [
    README,
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "contracts" / "README.md",
    *sorted((PROJECT / "docs").rglob("*.md")),
    *sorted((PROJECT / "examples").glob("*.md")),
]
_PROGRAMS = {"js": ("node",)}
_RUN_PYTHON = Path(__file__).with_name("run_python.py")
_COMMAND = re.compile(r"^(?:\$ )?(?:batchyard|make|curl|python|node|npm) ", re.MULTILINE)


def _name(page: Path) -> str:
    return str(page.relative_to(PROJECT))


WITH_BLOCKS = pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=_name)


@WITH_BLOCKS
def test_every_block_runs_or_has_a_reason(page: Path) -> None:
    unknown = [block.line for block in blocks(page) if block.language not in RUN | SHOWN]
    assert unknown == [], "These blocks name no language, or one that nobody runs."
    silent = [block.line for block in blocks(page) if block.language not in RUN and not block.reason]
    assert silent == [], "These blocks are not run: say why, in a comment `not run: REASON` above each of them."


@WITH_BLOCKS
def test_no_command_hides_in_a_block_that_is_only_shown(page: Path) -> None:
    shown = [block for block in blocks(page) if block.language in SHOWN]
    assert [block.line for block in shown if _COMMAND.search(block.code)] == []


@WITH_BLOCKS
def test_every_document_in_a_block_can_be_read(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.code)
        if block.language == "toml":
            tomllib.loads(block.code)


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("page", [page for page in PAGES if any(not b.reason for b in blocks(page))], ids=_name)
def test_every_block_runs(
    page: Path, again: bool, open_session: Open, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    session = open_session(tmp_path, page != README)
    try:
        for block in blocks(page):
            if block.reason is None:
                with subtests.test(f"{_name(page)}:{block.line}"):
                    _run(block, session)
    finally:
        session.stop()


def _run(block: Block, session: ShellSession) -> None:
    for program in (*block.needs, *_PROGRAMS.get(block.language, ())):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if block.says:
        session.run_on(block.code, block.says)
    elif block.language == "sh":
        session.run(block.code)
    elif block.file:
        with (session.folder / block.file).open("a", encoding="utf-8") as workload:
            workload.write(f"\n\n{block.code}")
        session.run(f"batchyard workload test {block.file}")
    else:
        file = session.folder / f"line_{block.line}.{'mjs' if block.language == 'js' else 'py'}"
        file.write_text(block.code, "utf-8")
        session.run(_command(block, quote(str(file))))


def _command(block: Block, file: str) -> str:
    if block.language == "js":
        return f"node {file}"
    if "= Workload(" in block.code:
        return f"batchyard workload test {file}"
    return f"{quote(sys.executable)} {quote(str(_RUN_PYTHON))} {file}"
