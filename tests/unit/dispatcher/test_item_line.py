"""The line of an item: the mark of an interrupted run, and the item that ends without a further run."""

import orjson
import pytest

from batchyard_contracts.v1.flow import ItemOutcome, PageItem, SettledItem
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.item_line import (
    is_unreadable,
    line_of,
    readable_line,
    readable_lines,
    settled_item,
    with_rerun,
    with_state,
)
from services.dispatcher.domain.report_decision import next_line

LINE = line_of(PageItem(ordinal=3, payload={"n": 1}, custom_id="a"))


def test_returned_state_clears_the_rerun_mark() -> None:
    assert orjson.loads(with_state(with_rerun(LINE), {"step": 2})) == orjson.loads(LINE) | {"state": {"step": 2}}


@pytest.mark.parametrize("code", ["worker_stopping", "timeout", "process_died", "not_reported"])
def test_interrupted_run_marks_the_line_as_rerun(code: str) -> None:
    outcome = ItemOutcome(ordinal=3, status="retry", error=ItemError(code=code))
    line = with_state(LINE, "before")
    assert orjson.loads(next_line(line, outcome)) == orjson.loads(line) | {"rerun": True}


def test_failed_run_leaves_the_line_unchanged() -> None:
    outcome = ItemOutcome(ordinal=3, status="retry", error=ItemError(code="http_500"))
    assert next_line(LINE, outcome) == LINE


def test_item_that_ends_without_a_run_keeps_its_ordinal_and_custom_id() -> None:
    error = ItemError(code="worker_lost")
    expected = SettledItem(ordinal=3, custom_id="a", attempts=2, error=error, partition="a.example")
    assert settled_item(LINE, "a.example", 2, error) == expected
    huge = line_of(PageItem(ordinal=4, payload={"n": 2**80}))
    assert settled_item(huge, "") == SettledItem(ordinal=4, partition="")


UNREADABLE = b'{"ordinal":3,"payload":null,"unreadable":true}'


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (LINE, LINE),
        (line_of(PageItem(ordinal=3, payload={"n": 2**80, "é": "ü"})), None),
        (LINE[:-2], UNREADABLE),
        (b'{"ordinal":3,"payload":"\xff"}', UNREADABLE),
        (b'{"ordinal":3,"custom_id":"a"}', UNREADABLE),
        (b'{"ordinal":3,"payload":' + b"[" * 100_000, UNREADABLE),
        (b'{"ordinal":03,"payload":1}', b""),
        (b"\x00", b""),
        (b"", b""),
    ],
    ids=lambda value: None if value is None else str(value[:30]),
)
def test_a_line_that_cannot_be_read_says_so(stored: bytes, expected: bytes | None) -> None:
    line = readable_line(stored)
    assert line == (stored if expected is None else expected)
    assert is_unreadable(line) is (line == UNREADABLE)
    assert readable_line(b"\x00", 3) == UNREADABLE
    assert readable_lines(LINE + b"\n" + stored) == [LINE, line]
