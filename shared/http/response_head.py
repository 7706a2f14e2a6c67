"""Reads the head of an HTTP response: its end, its size, and framing that a recipient may accept. Pure.

RFC 9110 (8.6) lets a recipient take several equal `Content-Length` values as one; RFC 9112 (6.3) lets
`Transfer-Encoding` override `Content-Length`. aiohttp's parser refuses both.
"""

import re

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADER_LINES = 1000
HEAD_TOO_LARGE = f"The head of the answer has more than {MAX_HEAD_BYTES // 1024} KB or {MAX_HEADER_LINES:,} lines."

LINE_ENDS = b"\r\n"
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LENGTH, _ENCODING = b"content-length", b"transfer-encoding"


def end_of_head(received: bytes | bytearray, known: int = 0) -> int | None:
    """Return the number of bytes of the head; None while its end has not come. The first `known` bytes lack it."""
    found = _BLANK_LINE.search(received, max(0, known - 2))
    return found.end() if found else None


def may_be_head(received: bytes | bytearray) -> bool:
    """Return False once the first bytes show that this is no HTTP response."""
    start = bytes(received[:5])
    return start == b"HTTP/"[: len(start)]


def is_too_large(head: bytes | bytearray) -> bool:
    """Tell whether a head, or the part of it that has come, exceeds the limits."""
    return len(head) > MAX_HEAD_BYTES or head.count(b"\n") > MAX_HEADER_LINES + 2  # the status and the blank line


def is_interim(head: bytes) -> bool:
    """Tell whether the head is of an interim response (1xx), after which the final one follows."""
    return head.split(b" ", 2)[1:2] != [b"101"] and head.partition(b" ")[2].lstrip()[:1] == b"1"


def with_plain_framing(head: bytes) -> bytes:
    """Return the head with the length of its body stated once, where all statements of it agree."""
    lower = head.lower()
    if lower.count(_LENGTH) + lower.count(_ENCODING) < 2 and b"," not in _value_of_length(lower):
        return head
    lines = head.split(b"\n")
    names = [line.partition(b":")[0].strip().lower() for line in lines]
    encodings = _values(lines, names, _ENCODING)
    lengths = set(_values(lines, names, _LENGTH))
    drops = {_LENGTH} if encodings - {b"identity"} else {_ENCODING}
    kept = [line for line, name in zip(lines, names, strict=True) if name not in drops and name != _LENGTH]
    if _LENGTH not in drops and lengths:
        if len(lengths) > 1:
            return head  # they contradict each other: the parser refuses the answer
        kept.insert(1, b"Content-Length: " + lengths.pop() + b"\r")
    return b"\n".join(kept)


def _values(lines: list[bytes], names: list[bytes], wanted: bytes) -> set[bytes]:
    texts = [line.partition(b":")[2] for line, name in zip(lines, names, strict=True) if name == wanted]
    return {part.strip().lower() for text in texts for part in text.split(b",")}


def _value_of_length(lower: bytes) -> bytes:
    return lower.partition(_LENGTH)[2].partition(b"\n")[0]
