"""Every example that was ever published is still read, and written again without a loss."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from batchyard_contracts.schema.compat import History
from batchyard_contracts.schema.export import HOME
from batchyard_contracts.schema.message_schema import schema_of
from batchyard_contracts.v1 import MESSAGES
from batchyard_contracts.v1.events import Event
from batchyard_contracts.v1.manifest import Manifest

FOLDER = HOME / "examples"
EXAMPLES = sorted(FOLDER.glob("*/*.json"))


def test_each_message_has_an_example_and_each_example_a_message() -> None:
    assert {path.parent.name for path in EXAMPLES} == set(MESSAGES)
    assert {path.name for path in FOLDER.iterdir()} == set(MESSAGES), "a folder is named after its message"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_is_read_and_written_without_a_loss(path: Path) -> None:
    kind = MESSAGES[path.parent.name]
    message = kind.decode(path.read_bytes())
    again = message.encode()
    assert kind.decode(again) == message
    assert _missing(json.loads(path.read_bytes()), json.loads(again)) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_fits_its_schema(path: Path) -> None:
    schema = schema_of(MESSAGES[path.parent.name])
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    checker.validate(json.loads(path.read_bytes()))
    checker.validate(json.loads(MESSAGES[path.parent.name].decode(path.read_bytes()).encode()))


def test_the_model_refuses_all_that_the_schema_refuses() -> None:
    """So that the check above can fail."""
    body = json.loads((FOLDER / "batch.submit.v1/everything.json").read_bytes())
    body["priority"] = "urgent"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, schema_of(MESSAGES["batch.submit.v1"]))
    with pytest.raises(ValueError, match="priority"):
        MESSAGES["batch.submit.v1"].decode(json.dumps(body).encode())


def test_the_examples_of_a_manifest_fit_together() -> None:
    announced = json.loads((FOLDER / "worker.announced.v1/tracklists.json").read_bytes())
    manifest = Manifest.model_validate(announced["manifests"][0])
    jsonschema.validate(manifest.example, manifest.item_schema)


def test_examples_of_events_have_the_routing_key_that_subscribers_bind() -> None:
    for path in EXAMPLES:
        message = MESSAGES[path.parent.name].decode(path.read_bytes())
        if isinstance(message, Event):
            assert message.routing_key() == f"{message.type}.{message.workload}.{message.owner}"


def test_no_published_example_was_changed_or_removed() -> None:
    history = History(HOME)
    base = history.base()
    if base is None:
        pytest.skip("nothing was published yet, or the history is not here")
    published = history.files(base, "examples")
    changed = [
        path
        for path, text in published.items()
        if not (HOME / path).is_file() or (HOME / path).read_text("utf-8") != text
    ]
    assert changed == [], f"examples are append-only since {base[:12]}: put these back, and add new ones beside them"


def _missing(given: Any, kept: Any, path: str = "") -> list[str]:
    """Return the places where the second value lacks something of the first; additional defaults are no loss."""
    if isinstance(given, dict) and isinstance(kept, dict):
        found = [f"{path}/{key}" for key in given if key not in kept]
        for key in given.keys() & kept.keys():
            found += _missing(given[key], kept[key], f"{path}/{key}")
        return found
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [one for i, pair in enumerate(zip(given, kept, strict=True)) for one in _missing(*pair, f"{path}/{i}")]
    return [] if given == kept else [path]
