"""Splits items into pages, separates duplicates, and encodes the messages for both.

Page boundaries depend on the items alone, never on which of them are duplicates: a repeated attempt makes the same
pages even if it knows fewer duplicates, so a page that arrives twice never hides an item.
"""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from batchyard_contracts.v1.flow import ItemsPage, ItemsSettled
from services.ingest.domain.item import ValidatedItem
from services.ingest.domain.limits import PAGE_BYTES, PAGE_ITEMS


class EncodedMessage(NamedTuple):
    """A message to the other services, encoded as JSON."""

    type: str
    body: bytes
    prefix: str = ""
    """Prefix of the routing key, which is otherwise the type."""


_SEGMENTS = b',"segments":'
"""Beginning of the last field of a page."""


class Pager:
    """Collects items until a page is full."""

    def __init__(self) -> None:
        self._page: list[ValidatedItem] = []
        self._bytes = 0

    def add(self, item: ValidatedItem) -> list[ValidatedItem] | None:
        """Add an item; returns the page that it completed, if any. The item itself may start the next page."""
        size = len(item.raw)
        full = self._page and (len(self._page) >= PAGE_ITEMS or self._bytes + size > PAGE_BYTES)
        completed = self.drain() if full else None
        self._page.append(item)
        self._bytes += size
        return completed

    def drain(self) -> list[ValidatedItem]:
        """Return the remaining items; the pager is empty afterwards."""
        page, self._page, self._bytes = self._page, [], 0
        return page


def split_into_pages(items: Iterable[ValidatedItem]) -> Iterator[list[ValidatedItem]]:
    """Split items into pages."""
    pager = Pager()
    for item in items:
        if page := pager.add(item):
            yield page
    if page := pager.drain():
        yield page


def fingerprints_of(items: Iterable[ValidatedItem]) -> dict[bytes, int]:
    """Return the fingerprints of items, each with the first ordinal that has it."""
    fingerprints: dict[bytes, int] = {}
    for item in items:
        if item.fingerprint is not None:
            fingerprints.setdefault(item.fingerprint, item.ordinal)
    return fingerprints


class DeduplicatedPage(NamedTuple):
    """Items of a page: those to run, and duplicates with the ordinal of the item that they repeat."""

    unique: list[ValidatedItem]
    duplicates: list[tuple[ValidatedItem, int]]
    new_fingerprints: dict[bytes, int]
    """Fingerprints that were not known before, with their ordinals."""


def deduplicate(page: Iterable[ValidatedItem], known: Mapping[bytes, int]) -> DeduplicatedPage:
    """Separate the items that repeat an earlier one of the page, or one that is `known`."""
    result = DeduplicatedPage([], [], {})
    for item in page:
        fingerprint = item.fingerprint
        if fingerprint is None:
            result.unique.append(item)
            continue
        first = known.get(fingerprint)
        if first is None:
            first = result.new_fingerprints.setdefault(fingerprint, item.ordinal)
        if first == item.ordinal:
            result.unique.append(item)
        else:
            result.duplicates.append((item, first))
    return result


def encode_page(
    batch_id: UUID, workload: str, number: int, page: DeduplicatedPage, *, with_keys: bool = False
) -> list[EncodedMessage]:
    """Return the messages of one page: its duplicates as settled, and its items by partition. Either may be absent.

    Duplicates go first: when the page is sent again and fewer of them are known, none is hidden by the page before.
    `with_keys`: items carry their fingerprints, which they have to claim before they run.
    """
    messages = []
    if page.duplicates:
        settled = [
            {"ordinal": item.ordinal, "duplicate_of": first}
            | ({"custom_id": item.custom_id} if item.custom_id is not None else {})
            for item, first in page.duplicates
        ]
        body = {"batch_id": str(batch_id), "round": 1, "status": "duplicate", "items": settled}
        messages.append(EncodedMessage(ItemsSettled.type, orjson.dumps(body)))
    if page.unique:
        segments: dict[str, list[dict[str, Any]]] = {}
        for item in page.unique:
            fields: dict[str, Any] = {"ordinal": item.ordinal, "payload": orjson.Fragment(item.raw)}
            if item.custom_id is not None:
                fields["custom_id"] = item.custom_id
            if item.source:
                fields["source"] = True
            if with_keys and item.fingerprint is not None:
                fields["key"] = item.fingerprint.hex()
            segments.setdefault(item.partition, []).append(fields)
        head = orjson.dumps({"batch_id": str(batch_id), "workload": workload, "page": number})
        rest = orjson.dumps([{"partition": name, "items": items} for name, items in segments.items()])
        messages.append(EncodedMessage(ItemsPage.type, head[:-1] + _SEGMENTS + rest + b"}"))
    return messages


def segments_of(page: bytes) -> bytes:
    """Return the end of a page's body: a comma and the field `segments`, with which other messages may end as well."""
    return page[page.index(_SEGMENTS) :]


class EncodedPages(NamedTuple):
    """Messages of several pages, the number of pages, and the fingerprints that were not known before."""

    messages: list[EncodedMessage]
    pages: int
    new_fingerprints: dict[bytes, int]


def encode_pages(
    batch_id: UUID,
    workload: str,
    items: Iterable[ValidatedItem],
    first_page: int = 0,
    known: Mapping[bytes, int] | None = None,
    *,
    with_keys: bool = False,
) -> EncodedPages:
    """Encode items as pages that are numbered from `first_page`."""
    messages: list[EncodedMessage] = []
    new_fingerprints: dict[bytes, int] = {}
    known_fingerprints = ChainMap(new_fingerprints, dict(known or {}))
    number = first_page
    for page in split_into_pages(items):
        deduplicated = deduplicate(page, known_fingerprints)
        new_fingerprints.update(deduplicated.new_fingerprints)
        messages += encode_page(batch_id, workload, number, deduplicated, with_keys=with_keys)
        number += 1
    return EncodedPages(messages, number - first_page, new_fingerprints)
