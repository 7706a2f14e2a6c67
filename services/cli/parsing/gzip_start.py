"""Recognises files that are compressed with gzip, by their first bytes."""

import zlib

_MAGIC = b"\x1f\x8b"
_GZIP_FORMAT = 31
"""Window bits of zlib that stand for gzip."""
_LENGTH = 4096


def is_gzip(start: bytes) -> bool:
    """Tell whether a file that begins so is compressed."""
    return start.startswith(_MAGIC)


def expanded_start(start: bytes) -> bytes:
    """Return the beginning of the text of a compressed file; empty if it cannot be expanded."""
    try:
        return zlib.decompressobj(_GZIP_FORMAT).decompress(start, _LENGTH)
    except zlib.error:
        return b""
