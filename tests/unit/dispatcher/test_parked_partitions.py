"""Parked partitions are found again when their time has come, or when an item of a limiter returns."""

from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.scheduling.parked_partitions import ParkedPartitions
from tests.support.growth import assert_linear


def test_a_partition_is_unparked_at_the_later_of_two_times() -> None:
    parked = ParkedPartitions()
    parked.park("x", 5.0)
    parked.park("x", 9.0)
    parked.park("x", 7.0)
    parked.park("y", 6.0)
    assert (parked.end_due(4.9), parked.take_unparked()) == (6.0, [])
    assert (parked.end_due(8.9), parked.take_unparked()) == (9.0, ["y"])
    assert (parked.end_due(9.0), parked.take_unparked(), parked.take_unparked()) == (None, ["x"], [])
    assert "x" not in parked


def test_the_return_of_an_item_unparks_all_that_wait_for_its_limiters() -> None:
    parked = ParkedPartitions()
    parked.park_until_return("x|a", ["host:x", "account:a"])
    parked.park_until_return("y|a", ["host:y", "account:a"])
    parked.park_until_return("z|b", ["host:z", "account:b"])
    parked.record_return(["host:q", "account:q"])
    assert parked.take_unparked() == []
    parked.record_return(["host:x", "account:a"])
    assert sorted(parked.take_unparked()) == ["x|a", "y|a"]
    assert ("x|a" in parked, "z|b" in parked, len(parked)) == (False, True, 1)
    parked.clear()
    assert (parked.take_unparked(), len(parked)) == (["z|b"], 0)
    parked.record_return(["account:b"])
    assert parked.take_unparked() == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 20), st.booleans()), max_size=60))
def test_every_partition_is_unparked_at_its_time(steps: list[tuple[str, int, bool]]) -> None:
    parked, expected, now = ParkedPartitions(), dict[str, float](), 0.0
    for partition, later, ends in steps:
        if ends:
            now += later
            due = {name for name, until in expected.items() if until <= now}
            following = min((until for name, until in expected.items() if name not in due), default=None)
            assert parked.end_due(now) == following
            assert set(parked.take_unparked()) == due
            expected = {name: until for name, until in expected.items() if name not in due}
        else:
            parked.park(partition, now + later)
            expected[partition] = max(now + later, expected.get(partition, 0.0))
    assert parked.until == expected


def test_looks_at_parked_partitions_take_no_longer_the_more_of_them_there_are() -> None:
    def look_often(count: int) -> None:
        parked = ParkedPartitions()
        for number in range(count):
            parked.park(f"host{number}", 1000.0 + number)
        for _ in range(count):
            parked.end_due(1.0)
            parked.take_unparked()

    assert_linear(look_often, 2000)
