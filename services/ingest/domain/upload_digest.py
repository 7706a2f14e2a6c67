"""The digest of an upload, page by page: it tells whether an upload that comes again begins with what is held already.

Where pages end depends on the items alone, so the same items give the same digests however the body was cut in transit.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from services.ingest.domain.item import Entry

_SIZE = 16


class Mark(NamedTuple):
    """How far an upload is: so many items on so many full pages, and the digest of all of them."""

    items: int
    pages: int
    digest: bytes


def begin(said: str) -> bytes:
    """The digest before the first page, of what is said of the upload beside its items."""
    return blake2b(said.encode(), digest_size=_SIZE).digest()


def link(before: bytes, page: Sequence[Entry]) -> bytes:
    """The digest after one more page. Neither a payload nor a custom id can hold the separator."""
    digest = blake2b(before, digest_size=_SIZE)
    digest.update(b"\n".join([entry.raw for entry in page]))
    digest.update("\n".join(["", *[entry.custom_id or "" for entry in page]]).encode())
    return digest.digest()
