"""Digest of an upload, page by page, which tells whether a repeated upload starts with the same items.

Page boundaries depend on the items alone, so the same items give the same digests however the body was split in
transit.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from services.ingest.domain.item import ValidatedItem

_DIGEST_SIZE = 16


class UploadPosition(NamedTuple):
    """Position in an upload: the number of items and of full pages, and the digest of all of them."""

    items: int
    pages: int
    digest: bytes


def initial_digest(parameters: str) -> bytes:
    """Return the digest before the first page, from the parameters of the upload."""
    return blake2b(parameters.encode(), digest_size=_DIGEST_SIZE).digest()


def extend_digest(previous: bytes, page: Sequence[ValidatedItem]) -> bytes:
    """Return the digest after one more page. Neither a payload nor a custom id can contain the separator."""
    digest = blake2b(previous, digest_size=_DIGEST_SIZE)
    digest.update(b"\n".join([item.raw for item in page]))
    digest.update("\n".join(["", *[item.custom_id or "" for item in page]]).encode())
    return digest.digest()
