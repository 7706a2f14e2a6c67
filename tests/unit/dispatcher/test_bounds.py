"""No rate, burst, count or measurement makes a computation of the scheduler raise, or give NaN or an infinite time."""

import math

from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.flow import DestinationFeedback
from batchyard_contracts.v1.manifest import Adaptive
from batchyard_contracts.v1.values import MAX_PER_SECOND, MIN_PER_SECOND, Rate, Terms
from services.dispatcher.domain.rate_limiting.adaptive_rate import AdaptiveRate
from services.dispatcher.domain.rate_limiting.batch_limits import BatchLimits
from services.dispatcher.domain.rate_limiting.bounds import bounded_rate
from services.dispatcher.domain.rate_limiting.gcra import Gcra
from services.dispatcher.domain.rate_limiting.limiter import LearnedRate, Limiter, LimitTerms
from services.dispatcher.domain.scheduling.chunk_sizer import ChunkSizer

ANY_FLOAT = st.floats()
POSITIVE = st.floats(min_value=0.0, exclude_min=True)
EDGES = st.sampled_from([5e-324, 1e-310, 1e-6, 1.0, 1e6, 1e308, math.inf])
RATES = st.builds(Rate.model_construct, per_second=EDGES | POSITIVE, burst=st.integers(min_value=1, max_value=10**400))
COUNTS = st.integers(min_value=0, max_value=10**400)
TAKEN = st.integers(min_value=1, max_value=1000)
FEEDBACK = st.builds(
    DestinationFeedback.model_construct,
    mean_wait_ms=ANY_FLOAT,
    median_ms=ANY_FLOAT | st.none(),
    answered=COUNTS,
    rate_limited=COUNTS,
    unanswered=COUNTS,
    remaining=COUNTS | st.none(),
    reset_s=ANY_FLOAT | st.none(),
)
MOMENTS = st.lists(st.floats(min_value=0.0, max_value=60.0), min_size=1, max_size=8)


@given(RATES, RATES, TAKEN, MOMENTS)
def test_a_bucket_stays_finite_at_every_rate(first: Rate, second: Rate, taken: int, pauses: list[float]) -> None:
    before, after, gcra, now = bounded_rate(first), bounded_rate(second), Gcra(), 1000.0
    for pause in pauses:
        now += pause
        gcra.take(before.per_second, taken, now)
        gcra.change_rate(before.per_second, after.per_second, now)
        before, after = after, before
        assert math.isfinite(gcra.full_at)
        assert gcra.available(before.per_second, before.burst, now) <= before.burst


@given(RATES, RATES, TAKEN, st.booleans(), MOMENTS)
def test_the_limits_of_a_batch_stay_finite_at_every_rate(
    first: Rate, second: Rate, taken: int, has_started: bool, pauses: list[float]
) -> None:
    now, limits = 1000.0, None
    for rate, pause in zip([first, second] * 4, pauses, strict=False):
        limits = BatchLimits.of(
            Terms.model_construct(rate=rate, concurrency=None), now, limits, has_started=has_started
        )
        assert limits is not None
        now += pause
        free = limits.available(0, now)
        assert free is not None
        limits.take(max(1, min(free, taken)), now)
        assert limits.available(0, now) is not None
        assert math.isfinite(limits.next_at())


@given(RATES)
def test_a_batch_that_sent_its_burst_waits_whatever_its_rate(rate: Rate) -> None:
    """The smallest float as a rate held the whole scheduler: the wait for the second item was infinite."""
    limits = BatchLimits.of(Terms.model_construct(rate=rate, concurrency=None), 0.0, None, has_started=False)
    assert limits is not None
    free = limits.available(0, 0.0)
    assert free
    limits.take(free, 0.0)
    assert limits.available(0, 0.0) == 0
    assert 0.0 < limits.next_at() <= 1 / MIN_PER_SECOND


@given(RATES | st.none(), RATES | st.none(), st.integers(1, 100), st.lists(FEEDBACK, min_size=1, max_size=8), MOMENTS)
def test_a_limiter_stays_finite_at_every_rate_and_feedback(
    first: Rate | None, second: Rate | None, wanted: int, feedback: list[DestinationFeedback], pauses: list[float]
) -> None:
    limiter, now = Limiter("calls", "a"), 1000.0
    for version, (given_, pause) in enumerate(zip(feedback, pauses, strict=False)):
        limiter.set_terms(LimitTerms(second if version % 2 else first), version, now)
        now += pause
        room, ask_at = limiter.room(wanted, now)
        assert 0 <= room <= wanted
        assert math.isfinite(ask_at)
        limiter.record_dispatched(wanted, now)
        limiter.record_feedback(given_, now, version, now)
        assert limiter.room(wanted, now)[0] >= 0
        assert math.isfinite(limiter.bucket.gcra.full_at)
        assert math.isfinite(limiter.backoff_until)
        limiter.record_returned(wanted)


BOUNDS = st.builds(
    Adaptive.model_construct, floor=EDGES | POSITIVE, ceiling=EDGES | POSITIVE, start=POSITIVE | st.none()
)


@given(BOUNDS, ANY_FLOAT | st.none(), ANY_FLOAT | st.none(), st.lists(FEEDBACK, min_size=1, max_size=12), MOMENTS)
def test_an_adaptive_rate_stays_positive_and_finite_at_every_feedback(
    bounds: Adaptive,
    learned: float | None,
    capacity: float | None,
    feedback: list[DestinationFeedback],
    pauses: list[float],
) -> None:
    rate, now = AdaptiveRate(bounds, 1000.0, learned, capacity), 1000.0
    for given_, pause in zip(feedback, pauses * len(feedback), strict=False):
        now += pause
        rate.record_feedback(given_, now)
        assert MIN_PER_SECOND <= rate.rate <= MAX_PER_SECOND
        assert rate.capacity is None or 0.0 <= rate.capacity < math.inf


@given(BOUNDS, ANY_FLOAT, ANY_FLOAT | st.none(), FEEDBACK)
def test_a_limiter_with_a_learned_rate_always_has_a_rate_in_bounds(
    bounds: Adaptive, learned: float, capacity: float | None, feedback: DestinationFeedback
) -> None:
    limiter = Limiter("calls", "a")
    limiter.set_terms(LimitTerms(adaptive=bounds), 1, 0.0, LearnedRate(learned, capacity))
    limiter.record_feedback(feedback, 0.0, 2, 20.0)
    assert limiter.rate is not None
    assert MIN_PER_SECOND <= limiter.rate.per_second <= MAX_PER_SECOND


@given(
    st.lists(st.tuples(COUNTS, ANY_FLOAT), min_size=1, max_size=8),
    EDGES | POSITIVE,
    st.integers(1, 10_000),
    st.integers(1, 10_000),
)
def test_a_chunk_has_a_size_within_its_cap_after_every_measurement(
    measured: list[tuple[int, float]], target_s: float, cap: int, minimum: int
) -> None:
    sizer = ChunkSizer(1)
    for items, busy_s in measured:
        sizer = sizer.with_measurement(items, busy_s, target_s, cap, minimum)
        assert 1 <= sizer.size <= cap
        assert sizer.seconds_per_item is None or 0.0 <= sizer.seconds_per_item < math.inf
