"""The schemas and the AsyncAPI document that are committed are those of the messages."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from batchyard_contracts.schema import asyncapi, export
from batchyard_contracts.schema.export import HOME
from batchyard_contracts.schema.message_schema import schema_of
from batchyard_contracts.v1 import MESSAGES

NODE = shutil.which("node")


def test_committed_files_equal_the_generated_ones() -> None:
    assert export.differing_files(HOME) == [], "run `python -m batchyard_contracts.schema.export`"


def test_generating_twice_gives_the_same_bytes() -> None:
    assert export.files() == export.files()


def test_check_names_what_differs_and_writing_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["--to", str(tmp_path)]) == 0
    assert export.main(["--to", str(tmp_path), "--check"]) == 0
    capsys.readouterr()

    (tmp_path / "schemas/batch.seal.v1.json").write_text("{}")
    (tmp_path / "schemas/batch.gone.v1.json").write_text("{}")
    (tmp_path / "asyncapi.json").unlink()
    assert export.main(["--to", str(tmp_path), "--check"]) == 1
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.startswith("differs: ")] == [
        "differs: schemas/batch.seal.v1.json",
        "differs: asyncapi.json",
        "differs: schemas/batch.gone.v1.json",
    ]
    assert not (tmp_path / "asyncapi.json").exists(), "--check writes nothing"

    assert export.main(["--to", str(tmp_path)]) == 0
    assert export.differing_files(tmp_path) == []
    assert not (tmp_path / "schemas/batch.gone.v1.json").exists()


@pytest.mark.parametrize("name", MESSAGES)
def test_a_schema_is_a_schema(name: str) -> None:
    schema = schema_of(MESSAGES[name])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:batchyard:schema:{name}"


@pytest.mark.skipif(NODE is None, reason="node is not here: its regular expressions stand for those of other languages")
def test_patterns_mean_something_in_other_languages_too() -> None:
    patterns = sorted({pattern for kind in MESSAGES.values() for pattern in _patterns(schema_of(kind))})
    assert len(patterns) > 5
    script = "for (const p of JSON.parse(require('fs').readFileSync(0))) new RegExp(p, 'u')"
    done = subprocess.run(
        [str(NODE), "-e", script], input=json.dumps(patterns), text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = asyncapi.document()
    references = list(_references(document))
    assert len(references) > 100
    for reference in references:
        if reference.startswith("#/"):
            _follow(document, reference)
        else:
            assert (HOME / reference).is_file(), reference


def test_every_message_is_sent_and_heard_by_somebody() -> None:
    operations = asyncapi.document()["operations"]
    sent = {_message_of(one) for op in operations.values() if op["action"] == "send" for one in op["messages"]}
    received = {_message_of(one) for op in operations.values() if op["action"] == "receive" for one in op["messages"]}
    answered = {_message_of(one) for op in operations.values() for one in op.get("reply", {}).get("messages", [])}
    assert sent == received
    assert sent | answered == set(MESSAGES)
    assert not sent & answered


def test_every_queue_and_exchange_is_described() -> None:
    bindings = [channel.get("bindings", {}).get("amqp", {}) for channel in asyncapi.document()["channels"].values()]
    queues = {binding["queue"]["name"]: binding["x-arguments"] for binding in bindings if binding.get("is") == "queue"}
    exchanges = {binding["exchange"]["name"] for binding in bindings if binding.get("is") == "routingKey"}
    assert exchanges == {
        f"batchyard.{name}" for name in ("commands", "operators", "flow", "work", "events", "queries", "inquiries")
    }
    assert "work.{workload}.{priority}" in queues
    assert queues["ingest.commands"]["x-queue-type"] == "quorum"


def _patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for value in schema.values():
            yield from _patterns(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _patterns(value)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _follow(document: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


def _message_of(reference: dict[str, str]) -> str:
    return reference["$ref"].rsplit("/", 1)[1]
