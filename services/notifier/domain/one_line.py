"""Makes text that a user gave fit for one line of a mail header or a log."""

import unicodedata

_ENCODED_WORD = "=?"


def one_line(text: str, most: int = 200) -> str:
    """The text without control, format and line-breaking characters, blanks run together, cut to `most`."""
    kept = (" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join("".join(kept).split())[:most]


def header_safe(text: str) -> str | None:
    """The text for a header, or None when it might be read as an encoded word (RFC 2047) and become more headers."""
    line = one_line(text)
    return None if not line or _ENCODED_WORD in line else line
