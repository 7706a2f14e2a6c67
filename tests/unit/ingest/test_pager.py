"""Pages: every item is sent exactly once, and page boundaries do not depend on known duplicates."""

from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.flow import ItemsPage, ItemsSettled
from services.ingest.domain.item import ValidatedItem
from services.ingest.domain.limits import PAGE_BYTES, PAGE_ITEMS
from services.ingest.domain.pager import EncodedMessage, deduplicate, encode_pages, fingerprints_of, split_into_pages

BATCH = UUID(int=7)


def item(ordinal: int, *, fingerprint: int | None = None, size: int = 2, partition: str = "") -> ValidatedItem:
    raw = b"{}" + b" " * (size - 2)
    return ValidatedItem(ordinal, raw, None, partition, None if fingerprint is None else fingerprint.to_bytes(16))


def read(messages: list[EncodedMessage]) -> tuple[list[ItemsPage], list[ItemsSettled]]:
    pages = [ItemsPage.decode(message.body) for message in messages if message.type == ItemsPage.type]
    settled = [ItemsSettled.decode(message.body) for message in messages if message.type == ItemsSettled.type]
    assert len(pages) + len(settled) == len(messages)
    return pages, settled


@given(
    st.lists(st.tuples(st.none() | st.integers(0, 5), st.sampled_from([2, 100, PAGE_BYTES // 2, PAGE_BYTES]))),
    st.dictionaries(st.integers(0, 5), st.integers(0, 9)),
    st.integers(10, 20),
)
def test_every_item_is_sent_or_settled_once(
    items: list[tuple[int | None, int]], known: dict[int, int], first: int
) -> None:
    items_ = [item(first + n, fingerprint=fingerprint, size=size) for n, (fingerprint, size) in enumerate(items)]
    written = encode_pages(BATCH, "w", items_, 3, {fingerprint.to_bytes(16): o for fingerprint, o in known.items()})
    pages, settled = read(written.messages)
    sent = [item.ordinal for page in pages for segment in page.segments for item in segment.items]
    repeated = {item.ordinal: item.duplicate_of for each in settled for item in each.items}
    assert sorted([*sent, *repeated]) == [each.ordinal for each in items_]
    firsts: dict[int, int] = dict(known)
    for each, (fingerprint, _) in zip(items_, items, strict=True):
        expected = (
            None
            if fingerprint is None or firsts.setdefault(fingerprint, each.ordinal) == each.ordinal
            else firsts[fingerprint]
        )
        assert repeated.get(each.ordinal) == expected
    assert written.new_fingerprints.keys().isdisjoint(fingerprint.to_bytes(16) for fingerprint in known)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(2, PAGE_BYTES)), max_size=30), st.sets(st.integers(0, 3)))
def test_a_repeated_attempt_makes_the_same_pages(items: list[tuple[int, int]], known: set[int]) -> None:
    items_ = [item(n, fingerprint=fingerprint, size=size) for n, (fingerprint, size) in enumerate(items)]
    for known_fingerprints in ({}, {fingerprint.to_bytes(16): -1 for fingerprint in known}):
        page_by_ordinal: dict[int, int] = {}
        for message in encode_pages(BATCH, "w", items_, 0, known_fingerprints).messages:
            if message.type == ItemsPage.type:
                page = ItemsPage.decode(message.body)
                page_by_ordinal |= {item.ordinal: page.page for segment in page.segments for item in segment.items}
        expected = {e.ordinal: number for number, page in enumerate(split_into_pages(items_)) for e in page}
        assert page_by_ordinal.items() <= expected.items()


@given(st.lists(st.integers(2, PAGE_BYTES), max_size=60))
def test_pages_are_bounded_and_not_wasteful(sizes: list[int]) -> None:
    pages = list(split_into_pages(item(n, size=size) for n, size in enumerate(sizes)))
    assert [each.ordinal for page in pages for each in page] == list(range(len(sizes)))
    for page in pages:
        assert 0 < len(page) <= PAGE_ITEMS
        assert sum(len(each.raw) for each in page) <= PAGE_BYTES
    for one, following in pairwise(pages):
        assert sum(len(each.raw) for each in one) + len(following[0].raw) > PAGE_BYTES


def test_a_page_has_at_most_a_thousand_items() -> None:
    assert [len(page) for page in split_into_pages(map(item, range(2001)))] == [1000, 1000, 1]


def test_a_page_is_grouped_by_partition_in_order_of_appearance() -> None:
    items_ = [item(0, partition="b"), item(1, partition="a"), item(2, partition="b")]
    (page,), _ = read(encode_pages(BATCH, "w", items_, 5).messages)
    assert (page.batch_id, page.workload, page.page) == (BATCH, "w", 5)
    assert [(s.partition, [i.ordinal for i in s.items]) for s in page.segments] == [("b", [0, 2]), ("a", [1])]


def test_items_and_duplicates_keep_their_custom_ids() -> None:
    items_ = [item(0, fingerprint=1)._replace(custom_id="a"), item(1, fingerprint=1)._replace(custom_id="b")]
    (page,), (settled,) = read(encode_pages(BATCH, "w", items_).messages)
    assert page.segments[0].items[0].custom_id == "a"
    assert settled.items[0].custom_id == "b"


def test_an_item_is_no_duplicate_of_itself() -> None:
    """An upload that is repeated finds its own fingerprints in the index."""
    page = [item(4, fingerprint=1), item(5, fingerprint=1), item(6, fingerprint=2)]
    done = deduplicate(page, fingerprints_of(page))
    assert [each.ordinal for each in done.unique] == [4, 6]
    assert [(each.ordinal, first) for each, first in done.duplicates] == [(5, 4)]


def test_an_item_is_marked_as_a_source_and_carries_the_key_that_it_claims() -> None:
    items_ = [item(0)._replace(source=True), item(1, fingerprint=7), item(2)]
    for with_keys, keys in ((True, [None, (7).to_bytes(16).hex(), None]), (False, [None, None, None])):
        (page,), _ = read(encode_pages(BATCH, "w", items_, with_keys=with_keys).messages)
        items = page.segments[0].items
        assert [item.key for item in items] == keys
        assert [bool(item.source) for item in items] == [True, False, False]


def test_a_page_with_only_duplicates_sends_no_items_and_keeps_its_number() -> None:
    items_ = [item(n, fingerprint=1) for n in range(1000)] + [item(n, fingerprint=1) for n in range(1000, 1002)]
    written = encode_pages(BATCH, "w", items_)
    pages, settled = read(written.messages)
    assert (written.pages, [page.page for page in pages]) == (2, [0])
    assert [len(each.items) for each in settled] == [999, 2]
