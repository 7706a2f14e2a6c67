"""An item's line tells its next run whether an earlier one was broken off, and no longer than that is so."""

import orjson
import pytest

from batchyard_contracts.v1.flow import ItemOutcome, PageItem
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.item_line import line_of, with_rerun, with_state
from services.dispatcher.domain.report_decision import next_line

LINE = line_of(PageItem(ordinal=3, payload={"n": 1}, custom_id="a"))


def test_what_a_run_returned_was_not_broken_off() -> None:
    assert orjson.loads(with_state(with_rerun(LINE), {"step": 2})) == orjson.loads(LINE) | {"state": {"step": 2}}


@pytest.mark.parametrize("code", ["worker_stopping", "timeout", "process_died", "not_reported"])
def test_a_run_whose_end_nobody_saw(code: str) -> None:
    outcome = ItemOutcome(ordinal=3, status="retry", error=ItemError(code=code))
    line = with_state(LINE, "before")
    assert orjson.loads(next_line(line, outcome)) == orjson.loads(line) | {"rerun": True}


def test_a_run_that_failed_by_itself() -> None:
    outcome = ItemOutcome(ordinal=3, status="retry", error=ItemError(code="http_500"))
    assert next_line(LINE, outcome) == LINE
