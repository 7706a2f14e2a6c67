"""Bundles of chunks: small chunks of short items, shared among the workers, so that no item waits for a long one."""

import pytest

from batchyard_contracts.v1.manifest import Manifest
from services.dispatcher.domain.scheduling.chunk_bundles import BundleCandidate, bundle_groups

MS = 0.001
ONE = BundleCandidate("work.w.normal", 1, 200)


def manifest(item_timeout_s: float = 60.0) -> Manifest:
    return Manifest(name="w", version="1", item_schema={}, result_schema={}, item_timeout_s=item_timeout_s)


def groups(
    chunks: list[BundleCandidate | None], longest_item_s: float = 0.01 * MS, workers: int = 1, timeout_s: float = 60.0
) -> list[int | None]:
    return bundle_groups(chunks, manifest(timeout_s), longest_item_s, workers)


def test_small_chunks_of_short_items_travel_together() -> None:
    assert groups([ONE] * 5) == [0] * 5


def test_nothing_is_bundled_before_anything_was_measured() -> None:
    assert groups([ONE] * 5, longest_item_s=float("inf")) == [None] * 5


@pytest.mark.parametrize("longest_item_s", [50 * MS, 60.0])
def test_chunks_of_long_items_travel_alone(longest_item_s: float) -> None:
    assert groups([ONE] * 5, longest_item_s) == [None] * 5


def test_the_items_of_a_bundle_take_little_time_together() -> None:
    assert groups([ONE] * 5, longest_item_s=20 * MS) == [0, 0, 1, 1, 2]


def test_each_worker_gets_a_bundle_before_one_gets_two() -> None:
    assert groups([ONE] * 5, workers=2) == [0, 0, 0, 1, 1]
    assert groups([ONE] * 3, workers=5) == [0, 1, 2]


def test_queues_have_bundles_of_their_own() -> None:
    urgent = BundleCandidate("work.w.immediate", 1, 200)
    assert groups([ONE, urgent, ONE, urgent]) == [0, 1, 0, 1]


@pytest.mark.parametrize("large", [BundleCandidate("work.w.normal", 1, 17 * 1024), None])
def test_a_large_chunk_and_one_that_was_lost_travel_alone(large: BundleCandidate | None) -> None:
    assert groups([ONE, large, ONE]) == [0, None, 0]


def test_a_chunk_of_many_items_travels_alone() -> None:
    assert groups([ONE, BundleCandidate("work.w.normal", 50, 200), ONE], longest_item_s=MS) == [0, None, 0]


def test_a_workload_whose_items_may_run_for_long_has_no_bundles() -> None:
    assert groups([ONE] * 5, timeout_s=601.0) == [None] * 5
