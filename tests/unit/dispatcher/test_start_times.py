"""Batches are started in the order of their times, each once, by the last time that was set."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.dispatcher.state.start_times import StartTimes

NOW = datetime(2026, 11, 30, tzinfo=UTC)
A, B = UUID(int=1), UUID(int=2)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_each_batch_is_due_once_when_its_time_has_come() -> None:
    times = StartTimes()
    times.set(A, after(2))
    times.set(B, after(1))
    assert (times.next(), times.take_due(NOW)) == (after(1), [])
    assert times.take_due(after(2)) == [B, A]
    assert (times.next(), times.take_due(after(9)), A in times) == (None, [], False)


def test_the_last_time_that_was_set_holds() -> None:
    times = StartTimes()
    times.set(A, after(1))
    times.set(A, after(5))
    times.set(B, after(1))
    times.set(B, None)
    assert times.take_due(after(1)) == []
    assert times.next() == after(5)
    times.set(A, after(3))
    assert times.take_due(after(3)) == [A]
    assert times.take_due(after(5)) == []


def test_times_that_are_changed_often_take_a_bounded_memory() -> None:
    times = StartTimes()
    for second in range(1, 1000):
        times.set(A, after(second))
    assert len(times._heap) < 100
    assert times.next() == after(999)
