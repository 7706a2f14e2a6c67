"""The OpenAPI description is whole: committed, valid, without loose ends, with an example for every operation."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.ingest.http.openapi_file import FILE, document

DOCUMENT = document()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}


def test_the_committed_file_is_the_description_of_the_routes() -> None:
    assert json.loads(FILE.read_text("utf-8")) == DOCUMENT


def test_the_description_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    loose = [reference for reference in _references(DOCUMENT) if reference.removeprefix(_PREFIX) not in schemas]
    assert loose == []


def test_no_two_paths_differ_in_the_names_of_their_parameters_alone() -> None:
    plain = ["/".join("{}" if part.startswith("{") else part for part in path.split("/")) for path in DOCUMENT["paths"]]
    assert len(set(plain)) == len(plain)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_body_and_every_answer_has_an_example_that_fits(name: str) -> None:
    operation = OPERATIONS[name]
    contents = [*operation.get("requestBody", {}).get("content", {}).items()]
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            contents += [(kind, one) for kind, one in response.get("content", {}).items() if kind == "application/json"]
    assert contents or "requestBody" not in operation
    for kind, content in contents:
        assert "schema" in content, kind
        assert "example" in content, kind
        if kind == "application/json":
            jsonschema.Draft202012Validator(_alone(content["schema"])).validate(content["example"])


def test_every_operation_has_a_summary_and_a_description_of_its_own() -> None:
    assert [name for name, one in OPERATIONS.items() if not one.get("summary") or not one.get("description")] == []
    ids = [one["operationId"] for one in OPERATIONS.values()]
    assert len(set(ids)) == len(ids)


_PREFIX = "#/components/schemas/"


def _alone(schema: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps({**schema, "$defs": DOCUMENT["components"]["schemas"]})
    found: dict[str, Any] = json.loads(text.replace(_PREFIX, "#/$defs/"))
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)
