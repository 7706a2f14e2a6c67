"""The cause of a failure as a short id, which is the same for failures with the same cause.

A cause is an error code, a message without its variable parts, and a partition. Ids are stored and public: a change to
their computation requires a new `VERSION`, so that old and new ids are never confused.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

VERSION = 1
MAX_EXAMPLE_LENGTH = 500
"""Characters of a message that are kept as the example of its cause."""
_MAX_LENGTH = 2000
_WORD = r"""[^\s'"`<>(){}\[\],;:=]"""
_VARIABLE = re.compile(
    rf"""
      \b[a-z][a-z0-9+.-]{{0,30}}://[^\s'"`<>]+                # an address
    | (?<!\w)(?:"[^"\n]*"|'[^'\n]*'|`[^`\n]*`)(?!\w)       # quoted text, but no apostrophe within a word
    | [\u201c\xab\u2018][^\u201d\xbb\u2019\n]*[\u201d\xbb\u2019]
    | (?<!{_WORD})(?:{_WORD}+@{_WORD}+|{_WORD}*[0-9]{_WORD}*)  # an e-mail address, or a word that contains a digit
    """,
    re.VERBOSE | re.IGNORECASE,
)
_RUN = re.compile(r"\#(?:[\s,;:./+-]*\#)+")
_SPACE = re.compile(r"\s+")
_OPENING, _CLOSING = "\u201c\xab\u2018", "\u201d\xbb\u2019"
_STAND_INS = "\ufdd0\ufdd1\ufdd2"
"""Noncharacters, which no text may hold, in the place of quotation marks that are opened and never closed."""
_SET_ASIDE = str.maketrans(_OPENING, _STAND_INS)
_AS_IT_WAS = str.maketrans(_STAND_INS, _OPENING)


@dataclass(frozen=True, slots=True)
class Cause:
    """Cause with its id and the message of the first item that failed with it."""

    id: str
    code: str
    partition: str
    message: str
    retryable: bool
    """True if running the same input again may help."""


@lru_cache(maxsize=4096)
def cause_id(code: str, message: str, partition: str) -> str:
    """Return the id: the version, then a 64-bit hash of code, message template and partition."""
    text = "\x00".join((code, message_template(message), partition))
    return f"{VERSION}-{blake2b(text.encode(errors='replace'), digest_size=8).hexdigest()}"


def message_template(message: str) -> str:
    """Return the message with each run of addresses, quoted values, numbers and ids replaced by #."""
    text = _VARIABLE.sub("#", _without_unclosed(message[:_MAX_LENGTH])).translate(_AS_IT_WAS)
    return _SPACE.sub(" ", _RUN.sub("#", text)).strip().lower()


def _without_unclosed(text: str) -> str:
    """Set aside the quotation marks after the last closing one of a line: each would be looked for an end in vain."""
    if not any(mark in text for mark in _OPENING):
        return text
    lines = []
    for line in text.split("\n"):
        closed = 1 + max(line.rfind(mark) for mark in _CLOSING)
        lines.append(line[:closed] + line[closed:].translate(_SET_ASIDE))
    return "\n".join(lines)
