"""Stored forms of a newer version are read as far as this one knows their values."""

import json
from typing import Any

import pytest

from batchyard_contracts.v1.schedules import ScheduleForm
from batchyard_contracts.v1.templates import FollowUp
from batchyard_contracts.v1.values import Reuse
from services.ingest.domain.bulk_action import BulkForm
from services.ingest.domain.stored_form import read_stored

FORM: dict[str, Any] = {"cron": "@daily", "batch": {"workload": "noop"}, "overlap": "queue", "catch_up_s": 120}


@pytest.mark.parametrize(
    ("change", "unread", "overlap"),
    [
        ({}, (), "queue"),
        ({"newer": 1}, (), "queue"),
        ({"overlap": "merge"}, ("overlap",), "skip"),
        ({"overlap": 3, "catch_up_s": "soon"}, ("catch_up_s", "overlap"), "skip"),
        ({"cron": {"every": "day"}}, ("cron",), "queue"),
        ({"batch": None, "workflow": "w"}, ("*",), "queue"),
    ],
)
def test_values_that_are_not_known_have_their_defaults(change: dict[str, Any], unread: Any, overlap: str) -> None:
    form, found = read_stored(ScheduleForm, json.dumps(FORM | change))
    assert (found, form.overlap) == (unread, overlap)
    assert isinstance(form.cron, str)
    assert form.zone == "UTC"


def test_every_stored_form_can_be_shown_whatever_it_says() -> None:
    assert read_stored(FollowUp, '{"template": "t", "on": ["melted"]}')[1] == ("on",)
    form, unread = read_stored(BulkForm, '{"action": "archive", "filter": {}}')
    assert (form.action, unread) == ("", ("action",))
    assert read_stored(Reuse, "{}")[1] == ()
