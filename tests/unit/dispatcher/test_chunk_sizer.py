"""The chunk sizer learns from reports and names the reason of its size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.scheduling.chunk_sizer import INITIAL_SIZE, ChunkOutcomes, ChunkSizer


@pytest.mark.parametrize(
    ("learned", "size", "cap", "least", "reason"),
    [
        (ChunkSizer(), INITIAL_SIZE, 100, 1, "nothing measured yet"),
        (ChunkSizer(1, 0.5), 1, 1, 1, "the manifest's cap"),
        (ChunkSizer(20, 0.05), 20, 100, 1, "50 ms an item, aims at 1 s"),
        (ChunkSizer(100, 0.0012), 100, 100, 1, "1.2 ms an item; the manifest's cap"),
        (ChunkSizer(50, 3.0), 50, 100, 50, "3e+03 ms an item; the manifest's least"),
        (ChunkSizer(1, 3.0), 1, 100, 1, "3e+03 ms an item, aims at 1 s"),
    ],
)
def test_reason_names_the_limit_of_the_chunk_size(
    learned: ChunkSizer, size: int, cap: int, least: int, reason: str
) -> None:
    assert learned.reason(size, 1.0, cap, least) == reason


def test_item_duration_is_a_moving_mean() -> None:
    learned = ChunkSizer().with_measurement(10, 1.0, 1.0, 1000)
    assert learned == ChunkSizer(10, 0.1)
    slow = learned.with_measurement(10, 11.0, 1.0, 1000)
    assert slow.size == 2
    assert slow.seconds_per_item == pytest.approx(0.4)
    assert learned.with_measurement(0, 99.0, 1.0, 1000) == learned, "a report without an item says nothing"


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8).flatmap(st.permutations))
def test_one_disturbance_halves_once_in_any_order_of_reports(failed: list[int]) -> None:
    """Chunks in flight together were all dispatched before the first halving."""
    learned = ChunkSizer(64)
    for place, count in enumerate(failed):
        learned = learned.with_outcomes(ChunkOutcomes(count, 20, sent_at=1.0, now=2.0 + place))
    assert learned.size == (32 if any(count >= 3 for count in failed) else 64)
