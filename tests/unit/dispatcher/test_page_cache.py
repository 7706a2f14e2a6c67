"""The cache of page segments holds many small ones, and a bounded number of items."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from services.dispatcher.persistence import page_cache
from services.dispatcher.persistence.page_cache import PageCache
from services.dispatcher.persistence.statements import PageKey
from services.dispatcher.persistence.stores import Stores


def key(number: int) -> PageKey:
    return UUID(int=number), 0, 0


def cached(pages: PageCache) -> Sequence[PageKey]:
    return list(pages._cache)


def test_many_small_segments_are_kept_and_few_large_ones() -> None:
    pages = PageCache(cast("Stores", None))
    for number in range(1000):
        pages.add(key(number), [b"{}"])
    assert len(cached(pages)) == 1000
    for number in range(1000, 1100):
        pages.add(key(number), [b"{}"] * 1000)
    assert cached(pages) == [key(number) for number in range(1100 - page_cache._MAX_ITEMS // 1000, 1100)]


def test_a_segment_that_is_used_again_stays() -> None:
    pages = PageCache(cast("Stores", None))
    for number in range(page_cache._MAX_SEGMENTS):
        pages.add(key(number), [b"{}"])
    pages.add(key(0), [b"{}"])
    pages.add(key(page_cache._MAX_SEGMENTS), [b"{}"])
    assert key(0) in cached(pages)
    assert key(1) not in cached(pages)


def test_the_last_segment_stays_whatever_its_size() -> None:
    pages = PageCache(cast("Stores", None))
    pages.add(key(1), [b"{}"])
    pages.add(key(2), [b"{}"] * (page_cache._MAX_ITEMS + 1))
    assert cached(pages) == [key(2)]
