"""An item's line is marked for its next run if the previous run was interrupted."""

import orjson
import pytest

from batchyard_contracts.v1.flow import ItemOutcome, PageItem
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.item_line import line_of, with_rerun, with_state
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
