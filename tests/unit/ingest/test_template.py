"""Parameters fill the places of a template with values of their own type."""

from typing import Any

import pytest

from batchyard_contracts.pointer import MISSING
from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.templates import TemplateForm, TemplateRun
from services.ingest.domain.json_difference import differences
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.template import check_body, check_template, command_of
from services.ingest.templates.built_in import built_in_templates

FORM = TemplateForm(
    description="squares",
    parameters={
        "properties": {
            "numbers": {"type": "array", "items": {"type": "object"}},
            "rate": {"type": "number", "minimum": 1, "default": 5},
            "team": {"type": "string"},
            "a/b": {"type": "integer"},
        },
        "required": ["numbers"],
    },
    body={
        "workload": "squares",
        "items": [],
        "name": "plain",
        "rate": {"per_second": 1},
        "labels": {"team": "nobody", "due": "", "x/y": ""},
    },
    fill={
        "/items": "numbers",
        "/rate/per_second": "rate",
        "/labels/team": "team",
        "/labels/due": "@nominal_at",
        "/labels/owner": "@owner",
    },
)
ITEMS = [{"payload": {"n": 1}}]


def fill(parameters: dict[str, Any], **fields: Any) -> BatchSubmit | Rejection:
    run = TemplateRun(parameters=parameters, **fields)
    return command_of(FORM, run, {"@owner": "ann", "@nominal_at": "2026-11-30", "@previous_success_at": None})


def test_values_keep_their_types_and_defaults_apply() -> None:
    command = fill({"numbers": ITEMS})
    assert isinstance(command, BatchSubmit)
    assert command.items[0].payload == {"n": 1}
    assert command.rate is not None
    assert command.rate.per_second == 5
    assert command.labels == {"team": "nobody", "due": "2026-11-30", "x/y": "", "owner": "ann"}
    assert command.name == "plain"


def test_a_submission_replaces_what_it_names() -> None:
    command = fill({"numbers": ITEMS, "rate": 7.5, "team": "search"}, name="mine", priority="low", idempotency_key="k")
    assert isinstance(command, BatchSubmit)
    assert (command.name, command.priority, command.idempotency_key) == ("mine", "low", "k")
    assert (command.rate and command.rate.per_second, command.labels["team"]) == (7.5, "search")


def test_text_is_never_put_together() -> None:
    text = '"}, "priority": "immediate", "x": "'
    command = fill({"numbers": ITEMS, "team": text})
    assert isinstance(command, BatchSubmit)
    assert (command.labels["team"], command.priority) == (text, "normal")


@pytest.mark.parametrize(
    ("parameters", "pointer", "words"),
    [
        ({}, "/parameters", "numbers"),
        ({"numbers": ITEMS, "rate": "fast"}, "/parameters/rate", "a number"),
        ({"numbers": ITEMS, "rate": 0}, "/parameters/rate", "at least 1"),
        ({"numbers": ITEMS, "other": 1}, "/parameters", "other"),
    ],
)
def test_parameters_that_do_not_fit_are_named(parameters: dict[str, Any], pointer: str, words: str) -> None:
    rejection = fill(parameters)
    assert isinstance(rejection, Rejection)
    assert (rejection.code, rejection.pointer) == ("invalid_parameters", pointer)
    assert words in rejection.detail


def test_a_filled_body_that_is_no_batch_is_refused_with_its_place() -> None:
    rejection = fill({"numbers": [{"payload": 3}]})
    assert isinstance(rejection, Rejection)
    assert rejection.pointer is not None
    assert rejection.pointer.startswith("/items/0/payload")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"body": {"items": []}}, "/body/workload"),
        ({"body": {"workload": "w", "batch_id": "x"}, "fill": {}}, "/body/batch_id"),
        ({"body": {"workload": "w", "idempotency_key": "x"}, "fill": {}}, "/body/idempotency_key"),
        ({"fill": {"/items": "unknown"}}, "/fill"),
        ({"fill": {"/nothing/here": "team"}}, "/fill"),
        ({"fill": {"/items/0": "team"}}, "/fill"),
        ({"fill": {"/workload": "team"}}, "/fill"),
        ({"fill": {"/idempotency_key": "team"}}, "/fill"),
        ({"fill": {"/batch_id": "team"}}, "/fill"),
        ({"fill": {"/estimate": "team"}}, "/fill"),
        ({"parameters": {"properties": {"a": {"type": "nonsense"}}}, "fill": {}}, "/parameters"),
        ({"parameters": {"type": "array"}, "fill": {}}, "/parameters"),
        ({"parameters": {"properties": {"a": {"$ref": "http://x.test/"}}}, "fill": {}}, "/parameters"),
        ({"body": {"workload": "w", "name": "x" * 300_000}, "fill": {}}, ""),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(change: dict[str, Any], pointer: str) -> None:
    rejection = check_template(FORM.model_copy(update=change))
    assert rejection is not None
    assert (rejection.code, rejection.pointer) == ("invalid_template", pointer)


def test_a_body_of_a_schedule_is_a_batch() -> None:
    assert check_body({"workload": "w", "items": ITEMS}) is None
    for wrong, pointer in (
        ({"items": ITEMS}, "/batch/workload"),
        ({"workload": "w", "wrong": 1}, "/batch/wrong"),
        ({"workload": "w", "items": ITEMS, "idempotency_key": "x"}, "/batch/idempotency_key"),
        ({"workload": "w", "items": ITEMS, "estimate": True}, "/batch/estimate"),
    ):
        rejection = check_body(wrong)
        assert rejection is not None
        assert rejection.pointer == pointer


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a"},
        {"type": "array", "items": {"anyOf": [{"$dynamicRef": "#a"}]}},
        {"properties": {"enum": {"$recursiveRef": "#"}}},
        {"allOf": [{"unevaluatedProperties": False}]},
        {"unevaluatedItems": False},
        {"pattern": r"(a)\1"},
        {"pattern": "((a{1,100}){1,100}){1,100}"},
    ],
)
def test_schemas_whose_check_may_take_exponential_time_are_refused(schema: dict[str, Any]) -> None:
    form = FORM.model_copy(update={"parameters": {"$defs": {"a": {}}, "properties": {"a": schema}}, "fill": {}})
    rejection = check_template(form)
    assert rejection is not None
    assert (rejection.code, rejection.pointer) == ("invalid_template", "/parameters")
    stored = command_of(form, TemplateRun(parameters={"a": 1}), {})
    assert isinstance(stored, Rejection), "a template that is stored already is not checked by it either"


def test_properties_and_values_may_be_named_like_keywords() -> None:
    parameter = {"properties": {"$ref": {"type": "string", "pattern": "^[a-z]+$"}}, "default": {"$ref": "a"}}
    assert check_template(FORM.model_copy(update={"parameters": {"properties": {"a": parameter}}, "fill": {}})) is None


def test_templates_that_come_with_batchyard_can_be_used() -> None:
    found = {command.name: command for command in built_in_templates()}
    assert found.keys() == {"event-tracklists", "weekly-portfolio"}
    for command in found.values():
        assert check_template(command) is None
        assert command.shared
    item = {"payload": {"url": "https://example.org/"}, "custom_id": "a"}
    run = TemplateRun(parameters={"event": "Night", "sets": [item]})
    sets = command_of(found["event-tracklists"], run, {})
    assert isinstance(sets, BatchSubmit)
    assert (sets.name, sets.labels, sets.cache) == ("Night", {"event": "Night"}, "use")
    run = TemplateRun(parameters={"projects": [item]})
    weekly = command_of(found["weekly-portfolio"], run, {"@nominal_at": "2026-11-30T06:00:00+00:00"})
    assert isinstance(weekly, BatchSubmit)
    assert (weekly.name, weekly.labels["week_of"]) == ("portfolio", "2026-11-30T06:00:00+00:00")


def test_differences_name_the_innermost_values() -> None:
    before = {"a": {"b": [1, 2], "c": True}, "d": 1}
    after = {"a": {"b": [1, 3, 4], "c": 1}, "e/f": None}
    assert differences(before, after) == [
        ("/a/b/1", 2, 3),
        ("/a/b/2", MISSING, 4),
        ("/a/c", True, 1),
        ("/d", 1, MISSING),
        ("/e~1f", MISSING, None),
    ]
    assert differences(before, before) == []
