"""A rate that follows a destination: against a simulated one, whose capacity is hidden and changes."""

import random
from dataclasses import dataclass

import pytest

from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.manifest import Adaptive
from services.dispatcher.domain.rate_limiting.adaptive_rate import AdaptiveRate, RateChange

BOUNDS = Adaptive(floor=5, ceiling=1000, start=10)
SCHEDULE = ((40.0, 100.0), (40.0, 40.0), (40.0, 150.0))


@dataclass(frozen=True)
class Destination:
    """Calls wait in a queue; one that would wait longer than `patience_s` is refused. With a `burst` none waits: a
    token bucket lets calls through."""

    base_s: float = 0.02
    patience_s: float = 0.25
    noise_s: float = 0.003
    report_s: float = 0.05
    """How long the news of an answer takes, and a new rate half as long again."""
    burst: int = 0


def run(destination: Destination, seed: int) -> tuple[float, float]:
    """The share of the ideal throughput that was reached, and the share of calls that were refused."""
    rnd, tuner = random.Random(seed), AdaptiveRate(BOUNDS, 0.0)
    rates, running = [(0.0, tuner.rate)], list[tuple[float, float | None]]()
    next_call, next_report, waiting, at = 0.0, destination.report_s, 0.0, 0.0
    taken = refused = 0
    while (now := min(next_call, next_report)) < sum(seconds for seconds, _ in SCHEDULE):
        if now == next_report:
            next_report += destination.report_s
            done = [took for until, took in running if until <= now]
            running = [call for call in running if call[0] > now]
            times = sorted(took for took in done if took is not None)
            median_ms = times[len(times) // 2] * 1000 if times else None
            felt = DestinationFeedback(median_ms=median_ms, answered=len(times), rate_limited=len(done) - len(times))
            if done and (change := tuner.record_feedback(felt, now)):
                rates.append((now + 1.5 * destination.report_s, change.after))
            continue
        rate = next(rate for since, rate in reversed(rates) if since <= now)
        capacity = _capacity(now)
        waiting, at = max(0.0, waiting - (now - at) * capacity), now
        if waiting < (destination.burst or destination.patience_s * capacity):
            taken += 1
            wait_s = 0.0 if destination.burst else waiting / capacity
            took = destination.base_s + wait_s + abs(rnd.gauss(0, destination.noise_s))
            running.append((now + took, took))
            waiting += 1
        else:
            refused += 1
            running.append((now + 0.003, None))
        next_call = now + 1 / rate
    return taken / sum(seconds * capacity for seconds, capacity in SCHEDULE), refused / (taken + refused)


def _capacity(now: float) -> float:
    for seconds, capacity in SCHEDULE:
        if now < seconds:
            return capacity
        now -= seconds
    return SCHEDULE[-1][1]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "destination",
    [Destination(), Destination(noise_s=0.02), Destination(patience_s=0.1), Destination(report_s=0.1)],
    ids=["plain", "noisy", "impatient", "slow news"],
)
def test_most_of_the_ideal_is_reached_and_hardly_a_call_refused(destination: Destination, seed: int) -> None:
    reached, refused = run(destination, seed)
    assert reached >= 0.90
    assert refused <= 0.01


@pytest.mark.parametrize("burst", [1, 20])
def test_one_that_refuses_before_anybody_waits_is_tried_gently(burst: int) -> None:
    reached, refused = run(Destination(burst=burst), 0)
    assert reached >= 0.80
    assert refused <= 0.015


def felt(tuner: AdaptiveRate, seconds: float, now: float, **each: float) -> tuple[list[RateChange], float]:
    """Report four times a second what the present rate leads to."""
    changes = []
    for _ in range(round(seconds * 4)):
        now += 0.25
        told = {"answered": round(tuner.rate / 4) + 1, "median_ms": 20.0} | each
        if change := tuner.record_feedback(DestinationFeedback.model_validate(told), now):
            changes.append(change)
    return changes, now


def test_it_begins_with_what_was_learned() -> None:
    assert AdaptiveRate(BOUNDS, 0.0).rate == 10
    assert AdaptiveRate(BOUNDS, 0.0, learned=80.0).rate == 80
    assert AdaptiveRate(BOUNDS, 0.0, learned=5000.0).rate == 1000
    assert AdaptiveRate(Adaptive(floor=2, ceiling=9), 0.0).rate == 2


def test_a_refusal_cuts_at_once_and_once() -> None:
    tuner = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    _, now = felt(tuner, 1.0, 0.0)
    before = tuner.rate
    change = tuner.record_feedback(DestinationFeedback(answered=3, rate_limited=2), now + 0.05)
    assert change is not None
    assert change.after <= 0.9 * before
    assert "2 calls refused" in change.reason
    assert tuner.record_feedback(DestinationFeedback(rate_limited=5), now + 0.1) is None  # those started before


def test_rising_times_cut_and_say_so() -> None:
    tuner = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    _, now = felt(tuner, 1.0, 0.0)
    changes, _ = felt(tuner, 1.0, now, median_ms=90.0)
    change = next(change for change in changes if change.after < change.before)
    assert change.reason.startswith("median 20 ms to ")


def test_a_destination_that_stays_slower_is_not_throttled_for_ever() -> None:
    tuner = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    _, now = felt(tuner, 1.0, 0.0)
    changes, now = felt(tuner, 60.0, now, median_ms=90.0)
    assert changes[-1].after > changes[-1].before
    assert tuner.rate > 100


def test_what_was_not_used_does_not_grow() -> None:
    tuner = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    assert felt(tuner, 30.0, 0.0, answered=5)[0] == []


def test_it_goes_back_to_what_failed_quickly_and_beyond_it_gently() -> None:
    tuner = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    tuner.record_feedback(DestinationFeedback(answered=25, median_ms=20.0), 0.3)
    tuner.record_feedback(DestinationFeedback(answered=40, rate_limited=1), 0.7)
    failed = tuner.capacity
    assert failed is not None
    changes, _ = felt(tuner, 12.0, 0.7)
    near = [change for change in changes if abs(change.after / failed - 1) < 0.05]
    assert len(near) > 0.3 * len(changes)
    assert changes[-1].after > 1.05 * failed


def test_calls_without_an_answer_cut_like_refusals_and_are_named() -> None:
    tuner = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    change = tuner.record_feedback(DestinationFeedback(answered=80, unanswered=4), 1.0)
    assert change == RateChange(100.0, 60.0, "4 calls without an answer")


def test_refusals_are_named_before_calls_without_an_answer() -> None:
    change = AdaptiveRate(BOUNDS, 0.0, learned=100.0).record_feedback(
        DestinationFeedback(answered=80, unanswered=4, rate_limited=1), 1.0
    )
    assert change == RateChange(100.0, 60.0, "1 calls refused")


def test_a_rate_never_leaves_its_bounds() -> None:
    tuner = AdaptiveRate(Adaptive(floor=90, ceiling=110), 0.0, learned=100.0)
    assert tuner.record_feedback(DestinationFeedback(answered=10, rate_limited=9), 1.0) == RateChange(
        100.0, 90.0, "9 calls refused"
    )
    assert tuner.record_feedback(DestinationFeedback(answered=10, rate_limited=9), 3.0) is None, "it is at its floor"
    changes, _ = felt(tuner, 60.0, 3.0)
    assert changes[-1].after == 110.0


@pytest.mark.parametrize("answered", [0, 3])
def test_too_few_timed_answers_change_no_rate_however_long_they_take_to_come(answered: int) -> None:
    tuner = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    assert tuner.record_feedback(DestinationFeedback(answered=answered, median_ms=5000.0), 9.0) is None
    assert tuner.record_feedback(DestinationFeedback(answered=50), 20.0) is None, "none of them was timed"
    assert tuner.rate == 100.0
