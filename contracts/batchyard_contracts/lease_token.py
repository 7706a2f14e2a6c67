"""Tokens by which a worker proves that it received a chunk: the dispatcher makes one, and the report repeats it.

A token is `<ordinals>.<signature>`: the ordinals of the chunk in ranges, such as `0-49,51`, and an HMAC over them and
over what the ledger believes of a report. Who did not receive the chunk cannot make one, and who did ends no other item
by it.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from typing import Protocol
from uuid import UUID

MIN_KEY_LENGTH = 32
_SIGNATURE_BYTES = 16


class LeasedChunk(Protocol):
    """The fields of a chunk, and of a report on it, that a token is made for."""

    @property
    def chunk_id(self) -> UUID: ...
    @property
    def fence(self) -> int: ...
    @property
    def batch_id(self) -> UUID: ...
    @property
    def round(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def owner(self) -> str: ...
    @property
    def workload(self) -> str: ...
    @property
    def partition(self) -> str: ...


class LeaseTokens:
    """Makes tokens with the first of its keys, and checks them with each. Without a key there is nothing to check."""

    def __init__(self, keys: Sequence[str]) -> None:
        if any(len(key) < MIN_KEY_LENGTH for key in keys):
            raise ValueError(f"a key for leases has at least {MIN_KEY_LENGTH} characters")
        self._keys = [key.encode() for key in keys]

    @classmethod
    def parse(cls, keys: str) -> "LeaseTokens":
        """Return the tokens by keys that are separated by commas."""
        return cls([key.strip() for key in keys.split(",") if key.strip()])

    def __bool__(self) -> bool:
        return bool(self._keys)

    def issue(self, chunk: LeasedChunk, ordinals: Iterable[int]) -> str:
        """Return the token of a chunk with these items."""
        ranges = _ranges(sorted(ordinals))
        return f"{ranges}.{_sign(self._keys[0], chunk, ranges)}"

    def ordinals(self, report: LeasedChunk, token: str | None) -> "LeasedOrdinals | None":
        """Return the items that a report may be about; None if its token is not that of its chunk."""
        ranges, _, signature = (token or "").rpartition(".")
        told = signature.encode("utf-8", "surrogatepass")
        if not any(hmac.compare_digest(_sign(key, report, ranges).encode(), told) for key in self._keys):
            return None
        return LeasedOrdinals(ranges)


class LeasedOrdinals:
    """The ordinals of a chunk."""

    def __init__(self, ranges: str) -> None:
        """`ranges`: as they stand in a valid token."""
        self._ranges = [(int(first), int(last or first)) for first, _, last in _split(ranges)]

    def __contains__(self, ordinal: int) -> bool:
        return any(first <= ordinal <= last for first, last in self._ranges)

    def has_all(self, ordinals: Sequence[int]) -> bool:
        """Tell whether all of these are among them."""
        first, last = self._ranges[0]
        if len(self._ranges) == 1:
            return all(first <= ordinal <= last for ordinal in ordinals)
        known = {ordinal for first, last in self._ranges for ordinal in range(first, last + 1)}
        return known.issuperset(ordinals)


def _split(ranges: str) -> Iterable[tuple[str, str, str]]:
    return (part.partition("-") for part in ranges.split(","))


def _ranges(ordinals: Sequence[int]) -> str:
    """Return ascending ordinals as ranges."""
    found: list[list[int]] = []
    for ordinal in ordinals:
        if found and ordinal == found[-1][1] + 1:
            found[-1][1] = ordinal
        else:
            found.append([ordinal, ordinal])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def _sign(key: bytes, chunk: LeasedChunk, ranges: str) -> str:
    numbers = f"{chunk.chunk_id} {chunk.fence} {chunk.batch_id} {chunk.round} {chunk.attempt} {ranges}"
    text = "\n".join((numbers, chunk.owner, chunk.workload, chunk.partition))  # the last may have any character
    signature = hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256")[:_SIGNATURE_BYTES]
    return urlsafe_b64encode(signature).rstrip(b"=").decode()
