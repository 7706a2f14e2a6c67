"""Tests of the throughput and the time to the end."""

import pytest

from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.events import eta_s
from services.aggregator.domain.throughput import Throughput
from tests.support.ledger_messages import at, batch


def steady(rate: float, seconds: float, step: float = 0.05) -> Throughput:
    pace = Throughput.start(100.0, 0)
    for number in range(1, round(seconds / step) + 1):
        pace = pace.observe(100.0 + number * step, round(rate * number * step))
    return pace


@pytest.mark.parametrize("seconds", [0.5, 5, 60])
def test_a_steady_throughput_is_known_at_once(seconds: float) -> None:
    assert steady(200, seconds).items_per_s(100 + seconds) == pytest.approx(200, rel=0.01)


def test_a_change_of_throughput_shows_after_a_few_seconds() -> None:
    pace = steady(100, 30)
    for number in range(1, 201):
        pace = pace.observe(130 + number * 0.05, 3000 + number * 50)
    assert pace.items_per_s(140) == pytest.approx(900, rel=0.15)


def test_throughput_decays_without_observations() -> None:
    pace = steady(100, 30)
    assert pace.items_per_s(135) == pytest.approx(100 / 2.718, rel=0.01)
    assert pace.items_per_s(130 + 60) is None


def test_two_observations_in_quick_succession_give_no_throughput() -> None:
    assert Throughput.start(0, 0).items_per_s(0) is None
    assert Throughput.start(0, 0).observe(0.001, 1000).items_per_s(0.001) is None
    assert Throughput.start(0, 0).observe(0, 5).observe(1, 10).items_per_s(1) == pytest.approx(10, rel=0.01)


def test_throughput_starts_anew_with_a_new_round() -> None:
    assert steady(100, 30).observe(131, 5).items_per_s(131) is None


def test_eta_requires_throughput_and_a_running_batch() -> None:
    running = batch(total=100, counters=OutcomeCounters(succeeded=40))
    assert eta_s(running, 20.0) == 3.0
    assert eta_s(running, None) is None
    assert eta_s(running.apply_command("pause", at(1)), 20.0) is None
    assert eta_s(batch(counters=OutcomeCounters(succeeded=40)), 20.0) is None
