"""Makes text from users safe for one line of a mail header or a log."""

import unicodedata

_ENCODED_WORD = "=?"


def one_line(text: str, limit: int = 200) -> str:
    """Return the text without control, format and line-breaking characters, blanks run together, cut to `limit`."""
    characters = (" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join("".join(characters).split())[:limit]


def header_safe(text: str) -> str | None:
    """Return the text for a header; None if it could be read as an encoded word (RFC 2047) and become more headers."""
    line = one_line(text)
    return None if not line or _ENCODED_WORD in line else line
