"""Cancelled batches: which rounds are cancelled, until when, and how a batch may run again."""

from uuid import UUID

import pytest

from services.worker.consuming.cancellations import CancellationList
from tests.support.chunk_runs import chunk

BATCH = chunk(1).batch_id
ROUND = chunk(1).round


@pytest.mark.parametrize(("round_", "included"), [(None, True), (ROUND, True), (ROUND + 1, True), (ROUND - 1, False)])
def test_a_cancellation_covers_its_round_and_earlier_ones(round_: int | None, included: bool) -> None:
    cancellations = CancellationList()
    cancellations.add(BATCH, round_, 0.0)
    assert cancellations.has_cancelled(chunk(1)) is included


def test_a_batch_runs_again_after_its_cancellation_was_discarded() -> None:
    cancellations = CancellationList()
    cancellations.add(BATCH, None, 0.0)
    cancellations.discard(UUID(int=99))
    assert cancellations.has_cancelled(chunk(1))
    cancellations.discard(BATCH)
    assert not cancellations.has_cancelled(chunk(1))


def test_cancellations_are_dropped_after_an_hour() -> None:
    cancellations = CancellationList()
    cancellations.add(BATCH, None, 0.0)
    cancellations.add(UUID(int=99), None, 3599.0)
    assert cancellations.has_cancelled(chunk(1))
    cancellations.add(UUID(int=99), None, 3601.0)
    assert not cancellations.has_cancelled(chunk(1))


def test_a_late_cancellation_of_an_earlier_round_changes_nothing() -> None:
    cancellations = CancellationList()
    cancellations.add(BATCH, ROUND, 0.0)
    cancellations.add(BATCH, ROUND - 1, 1.0)
    cancellations.discard(BATCH)  # a retry that is heard after the cancel of the round that it opened
    assert cancellations.has_cancelled(chunk(1))
