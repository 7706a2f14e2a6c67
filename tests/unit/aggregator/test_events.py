"""Tests of the events and states that are published about a batch."""

from datetime import timedelta

import pytest

from batchyard_contracts.v1.values import Terms
from services.aggregator.domain.batch import Batch, BatchHeader
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.events import batch_state, counts, finished_event, percent, progress_event
from services.aggregator.domain.summary import Summary
from tests.support.ledger_messages import BATCH, START, at, batch


def test_counts_add_up_to_the_total() -> None:
    found = counts(batch(total=10, counters=OutcomeCounters(1, 2, 3, 1, 1)))
    assert found.total == 10 == found.ended + found.remaining


def test_an_open_batch_has_no_total() -> None:
    found = counts(batch(counters=OutcomeCounters(succeeded=4)))
    assert (found.total, found.succeeded, found.remaining) == (None, 4, 0)


def test_a_batch_without_a_header_has_no_events() -> None:
    unknown = Batch(1, BATCH, counters=OutcomeCounters(succeeded=1))
    assert progress_event(unknown, 1.0) is None
    with pytest.raises(ValueError, match="not known"):
        batch_state(unknown, None)


def test_finished_event_requires_a_finished_batch() -> None:
    running = batch(total=1)
    with pytest.raises(ValueError, match="not finished"):
        finished_event(running)
    event = finished_event(running.add_outcomes(OutcomeCounters(succeeded=1), at(1)).finish_if_complete(at(2)))
    assert (event.result, event.finished_at, event.routing_key()) == ("completed", at(2), "batch.finished.v1.noop.ann")


def test_batch_state_contains_header_counters_and_throughput() -> None:
    labels = {"team": "music"}
    header = BatchHeader("ann", "noop", START, name="first", labels=labels)
    running = batch(header=header, total=10, priority="low", round=2, counters=OutcomeCounters(succeeded=4, failed=1))
    found = batch_state(running, 0.333)
    assert (found.owner, found.workload, found.name, found.labels) == ("ann", "noop", "first", labels)
    assert (found.status, found.priority, found.round, found.result) == ("running", "low", 2, None)
    assert (found.items_per_s, found.eta_s, found.counts.remaining) == (0.33, 15.0, 5)
    assert (found.accepted_at, found.finished_at, found.summary, found.summary_error) == (START, None, None, None)


def test_batch_state_of_a_finished_batch_has_result_and_summary_but_no_eta() -> None:
    ended = batch(total=2).add_outcomes(OutcomeCounters(succeeded=1, failed=1), at(1)).finish_if_complete(at(2))
    found = batch_state(ended, 3.0, Summary(value={"mean": 1.5}))
    assert (found.status, found.result, found.finished_at, found.eta_s) == ("finished", "partial", at(2), None)
    assert (found.summary, found.summary_error) == ({"mean": 1.5}, None)
    assert batch_state(ended, None, Summary(error="broken")).summary_error == "broken"


@pytest.mark.parametrize("items_per_s", [None, 0.0])
def test_progress_without_throughput_has_no_eta(items_per_s: float | None) -> None:
    event = progress_event(batch(total=3, changed_at=at(9)), items_per_s, 0.25)
    assert event is not None
    assert (event.items_per_s, event.eta_s, event.progress, event.at) == (items_per_s, None, 0.25, at(9))


def test_progress_without_changes_has_the_time_of_acceptance() -> None:
    event = progress_event(batch(total=3), 1.5)
    assert event is not None
    assert (event.at, event.eta_s, event.items_per_s) == (START, 2.0, 1.5)


def test_a_state_names_the_time_of_the_newest_command_that_it_shows() -> None:
    header = BatchHeader("ann", "squares", START)
    found = Batch(1, BATCH).accept(header, "normal", 3, Terms(weight=2))
    assert batch_state(found, None).controlled_at is None, "terms of the submission are no command"
    times = [START + timedelta(seconds=number) for number in range(1, 6)]
    found = found.apply_command("pause", times[0])
    assert batch_state(found, None).controlled_at == times[0]
    found = found.change(times[1], None, Terms(weight=3), ())
    assert batch_state(found, None).controlled_at == times[1]
    found = found.change(times[2], "low", Terms(), ())
    assert batch_state(found, None).controlled_at == times[2]
    found = found.change(times[3], None, Terms(), ("weight",))
    assert batch_state(found, None).controlled_at == times[3]
    found = found.apply_command("cancel", times[4]).apply_command("resume", times[0])
    assert batch_state(found, None).controlled_at == times[4]


@pytest.mark.parametrize(
    ("total", "ended", "share", "expected"),
    [
        (None, 5, None, None),
        (0, 0, None, 0.0),
        (3, 1, None, 33.3),
        (1000, 999, None, 99.9),
        (100_000, 99_999, None, 99.9),
        (2, 2, None, 99.9),  # it lacks only its summary
        (4, 1, 0.5, 50.0),
        (4, 3, 1.0, 99.9),
    ],
)
def test_a_batch_is_at_100_percent_at_its_end_and_never_before(
    total: int | None, ended: int, share: float | None, expected: float | None
) -> None:
    running = batch(total=total, counters=OutcomeCounters(succeeded=ended))
    assert percent(running, share) == expected
    if total:
        finished = batch(total=total).add_outcomes(OutcomeCounters(succeeded=total), at(1)).finish_if_complete(at(2))
        assert batch_state(finished, None).percent == finished_event(finished).percent == 100
