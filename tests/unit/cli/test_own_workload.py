"""`batchyard workload`: from an empty file to a checked one."""

import json
import re
from pathlib import Path

import pytest

from services.cli.exit_codes import Exit
from tests.support.command import Command


@pytest.fixture
def cli(tmp_path: Path) -> Command:
    return Command({"BATCHYARD_HOME": str(tmp_path / "home"), "BATCHYARD_AMQP_URL": ""})


async def test_a_new_workload_works_as_it_is_written(cli: Command, tmp_path: Path) -> None:
    file = tmp_path / "count_words.py"
    written = await cli("workload", "new", "count-words", "--output", str(file))
    assert written.code == Exit.OK, written.err
    assert f"batchyard workload test {file}" in written.out
    tested = await cli("workload", "test", str(file))
    assert tested.code == Exit.OK, tested.out + tested.err
    assert "count-words 1: one item at a time, on the event loop" in tested.out
    assert re.search(r"11 checks: [789] passed, 0 failed, [234] not tried", tested.out), tested.out
    again = await cli("workload", "new", "count-words", "--output", str(file))
    assert (again.code, "cannot be written" in again.err) == (Exit.USAGE, True)


async def test_a_check_that_fails_has_its_own_exit_code(cli: Command, tmp_path: Path) -> None:
    file = tmp_path / "broken_words.py"
    assert (await cli("workload", "new", "broken-words", "-o", str(file))).code == Exit.OK
    text = file.read_text("utf-8").replace("len(words)", "id(words)").replace("import BaseModel", "import BaseModel")
    file.write_text(text.replace("words = item.text.split()", "words = [object()]"), "utf-8")
    ended = await cli("workload", "test", str(file), "--json")
    assert ended.code == Exit.BATCH_FAILED
    marks = {one["check"]: one["mark"] for one in map(json.loads, ended.out.splitlines())}
    assert marks["redelivery"] == "failed"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("absent.py", None, "no file"),
        ("two-words.py", "", "like my_work.py"),
        ("json.py", "", "exists already"),
        ("empty_file.py", "", "defines no"),
        ("broken_file.py", "import nothing_like_this", "nothing_like_this"),
    ],
)
async def test_a_file_that_cannot_be_used_says_why(
    cli: Command, tmp_path: Path, name: str, text: str | None, says: str
) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text, "utf-8")
    ended = await cli("workload", "test", str(file))
    assert (ended.code, says in ended.err) == (Exit.USAGE, True), ended.err


async def test_wrong_names_and_items_are_refused(cli: Command, tmp_path: Path) -> None:
    assert (await cli("workload", "new", "Two Words")).code == Exit.USAGE
    file = tmp_path / "x_words.py"
    file.write_text("", "utf-8")
    assert (await cli("workload", "test", str(file), "--item", "{")).code == Exit.USAGE


async def test_without_a_cluster_a_worker_is_not_started(cli: Command, tmp_path: Path) -> None:
    file = tmp_path / "y_words.py"
    file.write_text("", "utf-8")
    ended = await cli("workload", "run", str(file))
    assert (ended.code, "batchyard up" in ended.err) == (Exit.UNREACHABLE, True)
    own = "amqp://default:secret@127.0.0.1:1/"  # of a client, as `batchyard env` prints it: no worker may use it
    after_env = Command({**cli.environment, "BATCHYARD_AMQP_URL": own, "BATCHYARD_LOCAL_SERVERS": own})
    ended = await after_env("workload", "run", str(file))
    assert (ended.code, "batchyard up" in ended.err) == (Exit.UNREACHABLE, True)
