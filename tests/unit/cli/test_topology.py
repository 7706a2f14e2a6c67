"""`batchyard topology`: definitions on standard output, and errors that say what to do."""

import json
from pathlib import Path

import pytest

from services.cli.exit_codes import Exit
from tests.unit.cli.conftest import Run


async def test_definitions_go_to_standard_output_alone(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "passwords.json"
    file.write_text('{"ingest": "one", "ann": "two"}')
    ended = await run("topology", "export", "--vhost", "yard", "--owner", "ann", "--passwords", str(file))
    assert ended.code == Exit.OK
    document = json.loads(ended.out)
    assert document["vhosts"] == [{"name": "yard"}]
    assert {one["name"] for one in document["users"] if one["password_hash"]} == {"ann", "ingest"}
    assert "aggregator, dispatcher, notifier, operator, topology, worker" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--owner", "a b"], "no name of an owner"),
        (["--owner", "all"], "no name of an owner"),
        (["--owner", "ingest"], "user of a service"),
        (["--passwords", "absent.json"], "absent.json cannot be read"),
    ],
)
async def test_wrong_owners_and_files_are_refused(run: Run, arguments: list[str], said: str) -> None:
    ended = await run("topology", "export", *arguments)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert said in ended.err


@pytest.mark.parametrize(
    ("text", "said"), [("[1]", "no JSON object"), ('{"carl": "x"}', "carl, who is no user"), ("{", "no JSON object")]
)
async def test_a_file_of_passwords_that_cannot_be_used_is_refused(
    run: Run, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "passwords.json"
    file.write_text(text)
    ended = await run("topology", "export", "--passwords", str(file))
    assert ended.code == Exit.USAGE
    assert said in ended.err


async def test_a_broker_that_is_not_there_is_an_error(run: Run, unused_tcp_port: int) -> None:
    ended = await run("topology", "apply", "--amqp-url", f"amqp://ann:secret@127.0.0.1:{unused_tcp_port}/")
    assert ended.code == Exit.UNREACHABLE
    assert f"127.0.0.1:{unused_tcp_port}" in ended.err
    assert "secret" not in ended.err
