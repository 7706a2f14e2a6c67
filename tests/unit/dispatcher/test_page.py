"""The dispatcher reads pages as the contract does, and keeps ingest's lines unchanged."""

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from batchyard_contracts.v1.flow import ItemsPage
from services.dispatcher.domain.item_line import ordinal_of
from services.dispatcher.domain.page import MAX_SEGMENTS, Page, Segment, groups_of_pages
from services.ingest.domain.item import ValidatedItem
from services.ingest.domain.pager import DeduplicatedPage, encode_page

BATCH = UUID("0197a5b0-0000-7000-8000-000000000001")
HEAD: dict[str, Any] = {"batch_id": str(BATCH), "workload": "noop", "page": 3}


def as_read(page: Page) -> list[tuple[str, list[Any]]]:
    return [(s.partition, [json.loads(line) for line in s.lines]) for s in page.segments]


def agree(body: bytes) -> Page | None:
    try:
        contract = ItemsPage.decode(body)
    except ValidationError:
        with pytest.raises(ValidationError):
            Page.decode(body)
        return None
    page = Page.decode(body)
    assert (page.batch_id, page.page) == (contract.batch_id, contract.page)
    assert as_read(page) == as_read(Page.of(contract))
    for segment, meant in zip(page.segments, contract.segments, strict=True):
        assert [ordinal_of(line) for line in segment.lines] == [item.ordinal for item in meant.items]
        assert not any(b"\n" in line for line in segment.lines)
    return page


def body(*items: object, **head: Any) -> bytes:
    return json.dumps(HEAD | head | {"segments": [{"partition": "p", "items": list(items)}]}).encode()


custom_ids = st.none() | st.text(min_size=1, max_size=128)


@given(st.lists(st.tuples(st.integers(0, 10**8 - 1), st.text(), custom_ids), max_size=5))
def test_pages_of_ingest_keep_their_lines_unchanged(items: list[tuple[int, str, str | None]]) -> None:
    entries = []
    for ordinal, text, custom_id in items:
        try:
            raw = json.dumps({"t": text}, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            continue
        entries.append(ValidatedItem(ordinal, raw, custom_id, "p", None))
    for message in encode_page(BATCH, "noop", 3, DeduplicatedPage(entries, [], {})):
        page = agree(message.body)
        assert page is not None
        for entry, line in zip(entries, page.segments[0].lines, strict=True):
            assert line in message.body
            assert entry.raw in line


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        body(page=-1),
        body(workload="No"),
        body({"ordinal": -1, "payload": {}}),
        body({"ordinal": 10**8, "payload": {}}),
        body({"ordinal": "x", "payload": {}}),
        body({"ordinal": 1}),
        body({"ordinal": 1, "payload": "x"}).replace(b'"x"', b'"\xff"'),
        body({"ordinal": "7", "payload": {"n": 2**80}, "custom_id": "c"}),
        body({"payload": {}, "ordinal": 7, "later": 1}),
        body({"custom_id": "c", "payload": None, "ordinal": 7}),
        json.dumps(json.loads(body({"ordinal": 1, "payload": [1, 2]})), indent=1).encode(),
        body(),
    ],
)
def test_pages_in_another_format_are_rewritten_as_the_contract_reads_them(body: bytes) -> None:
    agree(body)


def test_pages_of_many_partitions_are_saved_in_several_steps() -> None:
    def page(number: int, partitions: int) -> Page:
        return Page(UUID(int=1), number, [Segment(str(n), [b"{}"]) for n in range(partitions)])

    pages = [page(0, MAX_SEGMENTS), page(1, 1), page(2, MAX_SEGMENTS - 1), page(3, 2)]
    assert [[one.page for one in group] for group in groups_of_pages(pages)] == [[0], [1, 2], [3]]
    assert list(groups_of_pages([])) == []
    ordinary = [page(number, 1) for number in range(64)]
    assert list(groups_of_pages(ordinary)) == [ordinary]
