"""Cuts items into pages, sets duplicates aside, and writes the messages that carry both.

Where a page ends depends on the items alone, never on which of them are duplicates: a repeated attempt cuts the same
pages even if it remembers fewer duplicates, so a page that comes twice never hides an item.
"""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from batchyard_contracts.v1.flow import ItemsPage, ItemsSettled
from services.ingest.domain.item import Entry
from services.ingest.domain.limits import PAGE_BYTES, PAGE_ITEMS


class Note(NamedTuple):
    """A message to the other services, already written."""

    type: str
    body: bytes


class Pager:
    """Gathers entries until a page is full."""

    def __init__(self) -> None:
        self._page: list[Entry] = []
        self._bytes = 0

    def add(self, entry: Entry) -> list[Entry] | None:
        """Take an entry; gives the page that it completed, if it did. The entry itself may open the next one."""
        size = len(entry.raw)
        full = self._page and (len(self._page) >= PAGE_ITEMS or self._bytes + size > PAGE_BYTES)
        done = self.rest() if full else None
        self._page.append(entry)
        self._bytes += size
        return done

    def rest(self) -> list[Entry]:
        """What is left; the pager is empty afterwards."""
        page, self._page, self._bytes = self._page, [], 0
        return page


def pages_of(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Cut entries into pages."""
    pager = Pager()
    for entry in entries:
        if page := pager.add(entry):
            yield page
    if page := pager.rest():
        yield page


def marks_of(entries: Iterable[Entry]) -> dict[bytes, int]:
    """The fingerprints of entries, each with the first ordinal that bears it."""
    marks: dict[bytes, int] = {}
    for entry in entries:
        if entry.fingerprint is not None:
            marks.setdefault(entry.fingerprint, entry.ordinal)
    return marks


class Sorted(NamedTuple):
    """A page's entries: those to run, and those that repeat an earlier one, with its ordinal."""

    fresh: list[Entry]
    duplicates: list[tuple[Entry, int]]
    seen: dict[bytes, int]
    """Fingerprints met here for the first time, with their ordinals."""


def sort_out(page: Iterable[Entry], known: Mapping[bytes, int]) -> Sorted:
    """Set aside what repeats an earlier item of the page, or one that is `known`."""
    result = Sorted([], [], {})
    for entry in page:
        mark = entry.fingerprint
        if mark is None:
            result.fresh.append(entry)
            continue
        first = known.get(mark)
        if first is None:
            first = result.seen.setdefault(mark, entry.ordinal)
        if first == entry.ordinal:
            result.fresh.append(entry)
        else:
            result.duplicates.append((entry, first))
    return result


def notes_of(batch_id: UUID, workload: str, number: int, page: Sorted, *, keyed: bool = False) -> list[Note]:
    """The messages of one page: its duplicates as settled, and its items by partition. Either may be absent.

    Duplicates go first: should the page come again and fewer of them be remembered, none is hidden by the page before.
    `keyed`: items are sent with their fingerprints, which they are to claim before they run.
    """
    notes = []
    if page.duplicates:
        settled = [
            {"ordinal": entry.ordinal, "duplicate_of": first}
            | ({"custom_id": entry.custom_id} if entry.custom_id is not None else {})
            for entry, first in page.duplicates
        ]
        body = {"batch_id": str(batch_id), "round": 1, "status": "duplicate", "items": settled}
        notes.append(Note(ItemsSettled.type, orjson.dumps(body)))
    if page.fresh:
        segments: dict[str, list[dict[str, Any]]] = {}
        for entry in page.fresh:
            item: dict[str, Any] = {"ordinal": entry.ordinal, "payload": orjson.Fragment(entry.raw)}
            if entry.custom_id is not None:
                item["custom_id"] = entry.custom_id
            if entry.source:
                item["source"] = True
            if keyed and entry.fingerprint is not None:
                item["key"] = entry.fingerprint.hex()
            segments.setdefault(entry.partition, []).append(item)
        body = {
            "batch_id": str(batch_id),
            "workload": workload,
            "page": number,
            "segments": [{"partition": name, "items": items} for name, items in segments.items()],
        }
        notes.append(Note(ItemsPage.type, orjson.dumps(body)))
    return notes


class Written(NamedTuple):
    """The messages of several pages, how many pages they are, and the fingerprints met for the first time."""

    notes: list[Note]
    pages: int
    seen: dict[bytes, int]


def write_pages(
    batch_id: UUID,
    workload: str,
    entries: Iterable[Entry],
    first_page: int = 0,
    known: Mapping[bytes, int] | None = None,
    *,
    keyed: bool = False,
) -> Written:
    """The messages that carry entries, in pages numbered from `first_page`."""
    notes: list[Note] = []
    seen: dict[bytes, int] = {}
    before = ChainMap(seen, dict(known or {}))
    number = first_page
    for page in pages_of(entries):
        done = sort_out(page, before)
        seen.update(done.seen)
        notes += notes_of(batch_id, workload, number, done, keyed=keyed)
        number += 1
    return Written(notes, number - first_page, seen)
