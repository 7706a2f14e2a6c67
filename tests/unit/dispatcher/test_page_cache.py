"""The cache of page segments holds many small ones, and takes a bounded memory whatever the size of the items."""

import tracemalloc
from collections.abc import Sequence
from typing import cast
from uuid import UUID

import pytest

from services.dispatcher.persistence import page_cache
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.statements import PageKey
from services.dispatcher.persistence.stores import Stores

MIB = 1024 * 1024


@pytest.fixture
def pages() -> PageCache:
    return PageCache(cast("Stores", None))


def key(number: int) -> PageKey:
    return UUID(int=number), 0, 0


def cached(pages: PageCache) -> Sequence[PageKey]:
    return list(pages._cache)


def test_many_small_segments_are_kept(pages: PageCache) -> None:
    for number in range(4000):
        pages.add(key(number), [b"{}"])
    assert len(cached(pages)) == 4000


@pytest.mark.parametrize(("items", "size"), [(1, 2 * MIB), (1000, 4096), (1000, 2)])
def test_segments_of_any_kind_take_a_bounded_memory(
    pages: PageCache, monkeypatch: pytest.MonkeyPatch, items: int, size: int
) -> None:
    monkeypatch.setattr(page_cache, "MAX_BYTES", 8 * MIB)
    tracemalloc.start()
    try:
        for number in range(24 * MIB // (items * (size + 48))):
            pages.add(key(number), [bytes(size) for _ in range(items)])
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 4 * MIB < used < 9 * MIB


def test_a_segment_that_is_used_again_stays(pages: PageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "MAX_BYTES", MIB)
    lines = [bytes(300_000)]
    for number in range(3):
        pages.add(key(number), lines if number == 0 else [bytes(300_000)])
    pages.add(key(0), lines)
    pages.add(key(3), [bytes(300_000)])
    assert cached(pages) == [key(2), key(0), key(3)]


def test_the_last_segment_stays_whatever_its_size(pages: PageCache) -> None:
    pages.add(key(1), [b"{}"])
    pages.add(key(2), [bytes(page_cache.MAX_BYTES + 1)])
    assert cached(pages) == [key(2)]
