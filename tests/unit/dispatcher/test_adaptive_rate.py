"""Adaptive rates against a simulated destination with a hidden and changing capacity."""

import heapq
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
    """A simulated destination: calls queue, and one that would wait longer than `patience_s` is refused. With a `burst`
    no call waits: a token bucket accepts or refuses it."""

    base_s: float = 0.02
    patience_s: float = 0.25
    noise_s: float = 0.003
    report_s: float = 0.05
    """Delay in seconds of a report; a new rate takes half as long."""
    burst: int = 0


def run(destination: Destination, seed: int) -> tuple[float, float]:
    """Return the share of the ideal throughput that was reached, and the share of refused calls."""
    rnd, adaptive = random.Random(seed), AdaptiveRate(BOUNDS, 0.0)
    rates, running = [(0.0, adaptive.rate)], list[tuple[float, float | None]]()
    next_call, next_report, waiting, at = 0.0, destination.report_s, 0.0, 0.0
    taken = refused = 0
    while (now := min(next_call, next_report)) < sum(seconds for seconds, _ in SCHEDULE):
        if now == next_report:
            next_report += destination.report_s
            done = [took for until, took in running if until <= now]
            running = [call for call in running if call[0] > now]
            times = sorted(took for took in done if took is not None)
            median_ms = times[len(times) // 2] * 1000 if times else None
            report_feedback = DestinationFeedback(
                median_ms=median_ms, answered=len(times), rate_limited=len(done) - len(times)
            )
            if done and (change := adaptive.record_feedback(report_feedback, now)):
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
def test_adaptive_rate_reaches_most_of_the_capacity_with_few_refusals(destination: Destination, seed: int) -> None:
    reached, refused = run(destination, seed)
    assert reached >= 0.90
    assert refused <= 0.01


@pytest.mark.parametrize("burst", [1, 20])
def test_destination_without_queueing_is_approached_in_small_steps(burst: int) -> None:
    reached, refused = run(Destination(burst=burst), 0)
    assert reached >= 0.80
    assert refused <= 0.015


def report_feedback(
    adaptive: AdaptiveRate, seconds: float, now: float, **each: float
) -> tuple[list[RateChange], float]:
    """Report four times a second the feedback of the current rate."""
    changes = []
    for _ in range(round(seconds * 4)):
        now += 0.25
        feedback = {"answered": round(adaptive.rate / 4) + 1, "median_ms": 20.0} | each
        if change := adaptive.record_feedback(DestinationFeedback.model_validate(feedback), now):
            changes.append(change)
    return changes, now


def test_initial_rate_is_the_learned_rate() -> None:
    assert AdaptiveRate(BOUNDS, 0.0).rate == 10
    assert AdaptiveRate(BOUNDS, 0.0, learned=80.0).rate == 80
    assert AdaptiveRate(BOUNDS, 0.0, learned=5000.0).rate == 1000
    assert AdaptiveRate(Adaptive(floor=2, ceiling=9), 0.0).rate == 2


def test_refusal_cuts_the_rate_at_once_and_only_once() -> None:
    adaptive = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    _, now = report_feedback(adaptive, 1.0, 0.0)
    before = adaptive.rate
    change = adaptive.record_feedback(DestinationFeedback(answered=3, rate_limited=2), now + 0.05)
    assert change is not None
    assert change.after <= 0.9 * before
    assert "2 calls refused" in change.reason
    assert adaptive.record_feedback(DestinationFeedback(rate_limited=5), now + 0.1) is None  # started before the cut


def test_rising_response_times_cut_the_rate_with_a_reason() -> None:
    adaptive = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    _, now = report_feedback(adaptive, 1.0, 0.0)
    changes, _ = report_feedback(adaptive, 1.0, now, median_ms=90.0)
    change = next(change for change in changes if change.after < change.before)
    assert change.reason.startswith("median 20 ms to ")


def test_permanently_slower_destination_gets_a_new_baseline() -> None:
    adaptive = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    _, now = report_feedback(adaptive, 1.0, 0.0)
    changes, now = report_feedback(adaptive, 60.0, now, median_ms=90.0)
    assert changes[-1].after > changes[-1].before
    assert adaptive.rate > 100


def test_unused_rate_does_not_grow() -> None:
    adaptive = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    assert report_feedback(adaptive, 30.0, 0.0, answered=5)[0] == []


def test_rate_returns_quickly_to_the_last_capacity_and_exceeds_it_slowly() -> None:
    adaptive = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    adaptive.record_feedback(DestinationFeedback(answered=25, median_ms=20.0), 0.3)
    adaptive.record_feedback(DestinationFeedback(answered=40, rate_limited=1), 0.7)
    failed = adaptive.capacity
    assert failed is not None
    changes, _ = report_feedback(adaptive, 12.0, 0.7)
    near = [change for change in changes if abs(change.after / failed - 1) < 0.05]
    assert len(near) > 0.3 * len(changes)
    assert changes[-1].after > 1.05 * failed


def test_unanswered_calls_cut_the_rate_with_their_own_reason() -> None:
    adaptive = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    change = adaptive.record_feedback(DestinationFeedback(answered=80, unanswered=4), 1.0)
    assert change == RateChange(100.0, 60.0, "4 calls without an answer")


def test_reason_names_refusals_before_unanswered_calls() -> None:
    change = AdaptiveRate(BOUNDS, 0.0, learned=100.0).record_feedback(
        DestinationFeedback(answered=80, unanswered=4, rate_limited=1), 1.0
    )
    assert change == RateChange(100.0, 60.0, "1 calls refused")


def test_rate_stays_within_its_bounds() -> None:
    adaptive = AdaptiveRate(Adaptive(floor=90, ceiling=110), 0.0, learned=100.0)
    assert adaptive.record_feedback(DestinationFeedback(answered=10, rate_limited=9), 1.0) == RateChange(
        100.0, 90.0, "9 calls refused"
    )
    assert adaptive.record_feedback(DestinationFeedback(answered=10, rate_limited=9), 3.0) is None, "it is at its floor"
    changes, _ = report_feedback(adaptive, 60.0, 3.0)
    assert changes[-1].after == 110.0


@pytest.mark.parametrize("answered", [0, 3])
def test_too_few_timed_answers_do_not_change_the_rate(answered: int) -> None:
    adaptive = AdaptiveRate(BOUNDS, 0.0, learned=100.0)
    assert adaptive.record_feedback(DestinationFeedback(answered=answered, median_ms=5000.0), 9.0) is None
    assert adaptive.record_feedback(DestinationFeedback(answered=50), 20.0) is None, "none of them was timed"
    assert adaptive.rate == 100.0


@pytest.mark.parametrize(("sigma", "low", "high"), [(0.05, 0.85, 1.0), (1.0, 0.0, 0.33)])
def test_an_adaptive_rate_is_right_only_for_calls_that_are_alike(sigma: float, low: float, high: float) -> None:
    """The destination bears any number of calls, 20 at a time. Docs: why the workload `http` has no adaptive rate."""
    answered = {}
    for is_adaptive in (True, False):
        rnd, adaptive = random.Random(1), AdaptiveRate(Adaptive(floor=1, ceiling=1000, start=20), 0.0)
        now, next_call, next_report, total = 0.0, 0.0, 0.05, 0
        running, done = list[tuple[float, float]](), list[float]()
        while now < 40:
            now = min([next_report, *([running[0][0]] if running else []), *([next_call] if len(running) < 20 else [])])
            while running and running[0][0] <= now:
                done.append(heapq.heappop(running)[1])
            if now >= next_report:
                next_report, total = next_report + 0.05, total + len(done)
                if done:
                    median_ms = sorted(done)[len(done) // 2] * 1000
                    adaptive.record_feedback(DestinationFeedback(median_ms=median_ms, answered=len(done)), now)
                done = []
            if len(running) < 20 and next_call <= now:
                took = 0.1 * rnd.lognormvariate(0, sigma)
                heapq.heappush(running, (now + took, took))
                next_call = now + (1 / adaptive.rate if is_adaptive else 0.0)
            next_call = max(next_call, now)
        answered[is_adaptive] = total
    assert low <= answered[True] / answered[False] <= high
