"""Part of a file that a request asks for by its header `Range` (RFC 9110, section 14)."""

import re

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))")


class RangeNotSatisfiable(Exception):
    """The range begins behind the end of the file."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte, and the one behind the last; None for the whole file, as without a header, or with one
    that a server may leave aside: several ranges, or other units. Raises `RangeNotSatisfiable`."""
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        if int(suffix) == 0 or size == 0:
            raise RangeNotSatisfiable
        return max(0, size - int(suffix)), size
    start, end = int(first), size if last is None else min(size, int(last) + 1)
    if last is not None and int(last) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable
    return start, end
