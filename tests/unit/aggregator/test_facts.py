"""What is told of a batch."""

import pytest

from services.aggregator.domain.batch import Batch
from services.aggregator.domain.facts import counts, finished, progressed, state
from services.aggregator.domain.tally import Tally
from tests.support.ledger_messages import BATCH, at, batch


def test_counts_add_up_to_the_total() -> None:
    found = counts(batch(total=10, tally=Tally(1, 2, 3, 1, 1)))
    assert found.total == 10 == found.ended + found.remaining


def test_an_open_batch_has_no_total() -> None:
    found = counts(batch(tally=Tally(succeeded=4)))
    assert (found.total, found.succeeded, found.remaining) == (None, 4, 0)


def test_nobody_is_told_of_a_batch_without_owner() -> None:
    unknown = Batch(1, BATCH, tally=Tally(succeeded=1))
    assert progressed(unknown, 1.0) is None
    with pytest.raises(ValueError, match="not known"):
        state(unknown, None)


def test_the_end_is_told_only_at_the_end() -> None:
    running = batch(total=1)
    with pytest.raises(ValueError, match="not finished"):
        finished(running)
    event = finished(running.record(Tally(succeeded=1), at(1)).conclude(at(2)))
    assert (event.result, event.finished_at, event.routing_key()) == ("completed", at(2), "batch.finished.v1.noop.ann")
