"""A change of the HTTP API that breaks a client is found, and one that does not is let through."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from batchyard_contracts.schema.export import HOME
from batchyard_contracts.schema.openapi_compat import FILE, incompatible_changes

BASE: dict[str, Any] = json.loads((HOME / FILE).read_text("utf-8"))
LIST = BASE["paths"]["/api/v1/batches"]["get"]

Change = Callable[[dict[str, Any]], object]


def _list(document: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = document["paths"]["/api/v1/batches"]["get"]
    return operation


def _model(document: dict[str, Any], name: str) -> dict[str, Any]:
    model: dict[str, Any] = document["components"]["schemas"][name]
    return model


def _changed(change: Change) -> dict[str, Any]:
    document = copy.deepcopy(BASE)
    change(document)
    return document


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda now: now["paths"].pop("/api/v1/workers"), "GET /api/v1/workers: the operation was removed"),
        (lambda now: _list(now)["parameters"].pop(0), "was removed"),
        (lambda now: _list(now)["parameters"][0].update(required=True), "is now required"),
        (lambda now: _list(now)["responses"].pop("200"), "there is no answer 200"),
        (lambda now: _model(now, "AppendRequest")["required"].append("more"), "body: more"),
        (lambda now: _model(now, "AppendRequest")["properties"]["sequence"].update(maximum=5), "body: sequence"),
        (lambda now: _model(now, "BatchState")["required"].remove("counts"), "answer 200: "),
    ],
)
def test_a_change_that_breaks_clients_is_found(change: Change, said: str) -> None:
    found = incompatible_changes(BASE, _changed(change))
    assert found
    assert any(said in line for line in found)


@pytest.mark.parametrize(
    "change",
    [
        lambda now: None,
        lambda now: now["paths"].update({"/api/v1/new": {}}),
        lambda now: _list(now)["parameters"].append({"in": "query", "name": "new", "schema": {"type": "string"}}),
        lambda now: _model(now, "AppendRequest")["properties"].update(more={"type": "string"}),
        lambda now: _model(now, "BatchState")["properties"].update(more={"type": "string"}),
    ],
)
def test_a_change_that_breaks_nobody_is_let_through(change: Change) -> None:
    assert incompatible_changes(BASE, _changed(change)) == []
