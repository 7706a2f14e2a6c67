"""Rules for every message: its name, its envelope, and its treatment of unknown fields."""

import inspect
import re
from typing import Any, cast

import pytest
from pydantic import ValidationError

from batchyard_contracts import v1
from batchyard_contracts.message import Command, Envelope, Message
from batchyard_contracts.v1 import (
    MESSAGES,
    commands,
    events,
    flow,
    manifest,
    queries,
    schedules,
    templates,
    values,
    work,
)
from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed, Event
from batchyard_contracts.v1.templates import FollowUp
from batchyard_contracts.v1.values import NewItem
from batchyard_contracts.v1.work import ChunkReady

MODULES = (commands, events, flow, manifest, queries, schedules, templates, values, work)


def test_every_message_that_is_defined_is_registered_once() -> None:
    defined = {
        found
        for module in MODULES
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Message) and "type" in vars(found)
    }
    by_type: dict[str, set[type[Message]]] = {}
    for kind in defined:
        by_type.setdefault(kind.type, set()).add(kind)

    assert by_type.keys() == MESSAGES.keys()
    for name, kinds in by_type.items():
        assert all(issubclass(MESSAGES[name], kind) for kind in kinds), f"{name} means two things"


@pytest.mark.parametrize("weight", ["true", '"7"', "1.5"])
def test_a_command_takes_no_value_of_another_type(weight: str) -> None:
    with pytest.raises(ValidationError):
        BatchSubmit.decode(f'{{"workload": "noop", "weight": {weight}}}'.encode())


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=MESSAGES)
def test_a_type_is_a_noun_a_word_and_a_version(kind: type[Message]) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z]+\.v1", kind.type)
    assert kind.__doc__, "its meaning is published with its schema"


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=MESSAGES)
def test_only_commands_refuse_unknown_fields(kind: type[Message]) -> None:
    assert kind.model_config.get("extra") == ("forbid" if issubclass(kind, Command) else "ignore")
    assert kind.model_config.get("frozen")
    assert {found.type for found in v1.COMMANDS} == {name for name, one in MESSAGES.items() if issubclass(one, Command)}


def test_a_misspelt_option_is_refused_and_named() -> None:
    with pytest.raises(ValidationError, match="prioritty"):
        BatchSubmit.decode(b'{"workload": "noop", "prioritty": "low"}')


def test_a_reader_of_today_reads_an_event_with_a_field_of_tomorrow() -> None:
    body = (
        b'{"workload": "noop", "owner": "default", "batch_id": "019aa7c2-5d3e-7c41-9f0a-2b6d8e1f4a70", "round": 1,'
        b' "status": "running", "counts": {"skipped": 3}, "mood": "good", "at": "2026-11-20T18:04:02Z"}'
    )
    assert "mood" not in BatchProgressed.decode(body).model_dump()


def test_unset_fields_are_left_out_but_a_null_inside_a_payload_is_kept() -> None:
    body = BatchSubmit(workload="noop", items=[NewItem(payload={"a": None, "b": [None]})]).encode()
    assert b'{"payload":{"a":null,"b":[null]}}' in body
    assert b"custom_id" not in body
    assert b"batch_id" not in body


def test_a_list_that_older_services_do_not_know_is_left_out_while_it_is_empty() -> None:
    assert b"follow_ups" not in BatchSubmit(workload="w").encode()
    assert b"follow_ups" in BatchSubmit(workload="w", follow_ups=[FollowUp(template="t")]).encode()


def test_an_event_ends_its_routing_key_with_workload_and_owner() -> None:
    event = cast("Any", BatchFinished).model_construct(workload="tracklists", owner="acme")
    assert event.routing_key() == "batch.finished.v1.tracklists.acme"
    assert all(issubclass(kind, Event) for kind in v1.EVENTS)


def test_a_chunk_goes_to_the_queue_of_its_workload_and_priority() -> None:
    assert cast("Any", ChunkReady).model_construct(workload="noop", priority="low").routing_key() == "work.noop.low"


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"\xff\xfe", b'{"workload": "NOT A NAME"}', b'{"items": []}'])
def test_other_bodies_are_validation_errors(body: bytes) -> None:
    with pytest.raises(ValidationError):
        BatchSubmit.decode(body)


def test_the_envelope_reads_a_trace_only_when_it_can_be_one() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert Envelope("x.y.v1", "1", headers={"traceparent": trace}).traceparent == trace
    for wrong in (7, b"00", "a\x00b", "é", "a\nb", "0" * 10_000):
        assert Envelope("x.y.v1", "1", headers={"traceparent": wrong}).traceparent is None
    assert Envelope("x.y.v1", "1").traceparent is None


@pytest.mark.parametrize("kind", [flow.PageItem, queries.StoredItem, work.ChunkItem])
@pytest.mark.parametrize("payload", [None, {"n": None}, [], 0])
def test_a_payload_that_is_null_can_be_read_again(kind: type[Any], payload: object) -> None:
    item = kind(ordinal=1, payload=payload)
    assert kind.model_validate_json(item.model_dump_json(exclude_none=True)) == item
