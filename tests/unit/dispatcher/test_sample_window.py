"""A sample window sums up the feedback of a destination."""

from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.flow import DestinationFeedback
from services.dispatcher.domain.rate_limiting.sample_window import SampleWindow

FEEDBACK = st.builds(
    DestinationFeedback,
    answered=st.integers(0, 50),
    refused=st.integers(0, 9),
    broken=st.integers(0, 9),
    median_ms=st.none() | st.floats(0, 1e4),
)


def test_calls_are_counted_by_result_and_timed_only_if_answered() -> None:
    window = SampleWindow(0.0)
    window.add(DestinationFeedback(answered=3, rate_limited=1, unanswered=2, median_ms=10.0))
    window.add(DestinationFeedback(answered=4))
    window.add(DestinationFeedback(rate_limited=5, median_ms=900.0))
    assert (window.answered, window.rate_limited, window.unanswered, window.timed) == (7, 6, 2, 3)
    assert window.median_ms == 10.0


def test_small_delayed_group_does_not_move_the_median() -> None:
    window = SampleWindow(0.0)
    for answered, median_ms in ((2, 5000.0), (10, 20.0), (9, 30.0)):
        window.add(DestinationFeedback(answered=answered, median_ms=median_ms))
    assert window.median_ms == 30.0
    window.add(DestinationFeedback(answered=2, median_ms=1.0))
    assert window.median_ms == 20.0


def test_median_of_two_equal_halves_is_the_lower_one() -> None:
    window = SampleWindow(0.0)
    window.add(DestinationFeedback(answered=5, median_ms=30.0))
    window.add(DestinationFeedback(answered=5, median_ms=20.0))
    assert window.median_ms == 20.0


def test_median_without_timed_answers_is_zero() -> None:
    assert SampleWindow(0.0).median_ms == 0.0


@given(st.lists(FEEDBACK, max_size=8).flatmap(lambda orders: st.tuples(st.just(orders), st.permutations(orders))))
def test_order_of_reports_does_not_change_the_window(
    orders: tuple[list[DestinationFeedback], list[DestinationFeedback]],
) -> None:
    windows = (SampleWindow(0.0), SampleWindow(0.0))
    for window, reports in zip(windows, orders, strict=True):
        for feedback in reports:
            window.add(feedback)
    one, other = ((w.answered, w.rate_limited, w.unanswered, w.timed, w.median_ms) for w in windows)
    assert one == other
    timed = [f.median_ms for f in orders[0] if f.median_ms is not None and f.answered]
    assert not timed or min(timed) <= windows[0].median_ms <= max(timed)
