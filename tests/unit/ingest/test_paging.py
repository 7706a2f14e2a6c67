"""Pages: every item travels exactly once, and where a page ends does not depend on what is known of duplicates."""

from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.flow import ItemsPage, ItemsSettled
from services.ingest.domain.item import Entry
from services.ingest.domain.limits import PAGE_BYTES, PAGE_ITEMS
from services.ingest.domain.pager import Note, marks_of, pages_of, sort_out, write_pages

BATCH = UUID(int=7)


def entry(ordinal: int, *, mark: int | None = None, size: int = 2, partition: str = "") -> Entry:
    raw = b"{}" + b" " * (size - 2)
    return Entry(ordinal, raw, None, partition, None if mark is None else mark.to_bytes(16))


def read(notes: list[Note]) -> tuple[list[ItemsPage], list[ItemsSettled]]:
    pages = [ItemsPage.decode(note.body) for note in notes if note.type == ItemsPage.type]
    settled = [ItemsSettled.decode(note.body) for note in notes if note.type == ItemsSettled.type]
    assert len(pages) + len(settled) == len(notes)
    return pages, settled


@given(
    st.lists(st.tuples(st.none() | st.integers(0, 5), st.sampled_from([2, 100, PAGE_BYTES // 2, PAGE_BYTES]))),
    st.dictionaries(st.integers(0, 5), st.integers(0, 9)),
    st.integers(10, 20),
)
def test_every_item_travels_once(items: list[tuple[int | None, int]], known: dict[int, int], first: int) -> None:
    entries = [entry(first + n, mark=mark, size=size) for n, (mark, size) in enumerate(items)]
    written = write_pages(BATCH, "w", entries, 3, {mark.to_bytes(16): o for mark, o in known.items()})
    pages, settled = read(written.notes)
    sent = [item.ordinal for page in pages for segment in page.segments for item in segment.items]
    repeated = {item.ordinal: item.duplicate_of for each in settled for item in each.items}
    assert sorted([*sent, *repeated]) == [each.ordinal for each in entries]
    firsts: dict[int, int] = dict(known)
    for each, (mark, _) in zip(entries, items, strict=True):
        expected = None if mark is None or firsts.setdefault(mark, each.ordinal) == each.ordinal else firsts[mark]
        assert repeated.get(each.ordinal) == expected
    assert written.seen.keys().isdisjoint(mark.to_bytes(16) for mark in known)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(2, PAGE_BYTES)), max_size=30), st.sets(st.integers(0, 3)))
def test_a_repeated_attempt_cuts_the_same_pages(items: list[tuple[int, int]], known: set[int]) -> None:
    entries = [entry(n, mark=mark, size=size) for n, (mark, size) in enumerate(items)]
    for memory in ({}, {mark.to_bytes(16): -1 for mark in known}):
        place: dict[int, int] = {}
        for note in write_pages(BATCH, "w", entries, 0, memory).notes:
            if note.type == ItemsPage.type:
                page = ItemsPage.decode(note.body)
                place |= {item.ordinal: page.page for segment in page.segments for item in segment.items}
        expected = {e.ordinal: number for number, page in enumerate(pages_of(entries)) for e in page}
        assert place.items() <= expected.items()


@given(st.lists(st.integers(2, PAGE_BYTES), max_size=60))
def test_pages_are_bounded_and_not_wasteful(sizes: list[int]) -> None:
    pages = list(pages_of(entry(n, size=size) for n, size in enumerate(sizes)))
    assert [each.ordinal for page in pages for each in page] == list(range(len(sizes)))
    for page in pages:
        assert 0 < len(page) <= PAGE_ITEMS
        assert sum(len(each.raw) for each in page) <= PAGE_BYTES
    for one, following in pairwise(pages):
        assert sum(len(each.raw) for each in one) + len(following[0].raw) > PAGE_BYTES


def test_a_thousand_items_a_page() -> None:
    assert [len(page) for page in pages_of(map(entry, range(2001)))] == [1000, 1000, 1]


def test_a_page_is_grouped_by_partition_in_order_of_appearance() -> None:
    entries = [entry(0, partition="b"), entry(1, partition="a"), entry(2, partition="b")]
    (page,), _ = read(write_pages(BATCH, "w", entries, 5).notes)
    assert (page.batch_id, page.workload, page.page) == (BATCH, "w", 5)
    assert [(s.partition, [i.ordinal for i in s.items]) for s in page.segments] == [("b", [0, 2]), ("a", [1])]


def test_custom_ids_travel() -> None:
    entries = [entry(0, mark=1)._replace(custom_id="a"), entry(1, mark=1)._replace(custom_id="b")]
    (page,), (settled,) = read(write_pages(BATCH, "w", entries).notes)
    assert page.segments[0].items[0].custom_id == "a"
    assert settled.items[0].custom_id == "b"


def test_an_item_is_no_duplicate_of_itself() -> None:
    """What an upload remembers of its own page comes back as known."""
    page = [entry(4, mark=1), entry(5, mark=1), entry(6, mark=2)]
    done = sort_out(page, marks_of(page))
    assert [each.ordinal for each in done.fresh] == [4, 6]
    assert [(each.ordinal, first) for each, first in done.duplicates] == [(5, 4)]


def test_an_item_says_on_its_page_whether_it_is_a_source_and_which_key_it_claims() -> None:
    entries = [entry(0)._replace(source=True), entry(1, mark=7), entry(2)]
    for keyed, keys in ((True, [None, (7).to_bytes(16).hex(), None]), (False, [None, None, None])):
        (page,), _ = read(write_pages(BATCH, "w", entries, keyed=keyed).notes)
        items = page.segments[0].items
        assert [item.key for item in items] == keys
        assert [bool(item.source) for item in items] == [True, False, False]


def test_a_page_of_nothing_but_duplicates_sends_no_items_and_still_has_its_number() -> None:
    entries = [entry(n, mark=1) for n in range(1000)] + [entry(n, mark=1) for n in range(1000, 1002)]
    written = write_pages(BATCH, "w", entries)
    pages, settled = read(written.notes)
    assert (written.pages, [page.page for page in pages]) == (2, [0])
    assert [len(each.items) for each in settled] == [999, 2]
