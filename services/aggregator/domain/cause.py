"""Why an item failed, as a short id that is the same for failures with the same cause.

A cause is an error code, a message without what differs from item to item, and a partition. Ids are stored and given
out: whoever changes how they are made raises `VERSION`, so that an old and a new one are never taken for each other.
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
    | (?<!\w)(?:"[^"\n]*"|'[^'\n]*'|`[^`\n]*`)(?!\w)       # what is quoted, but no apostrophe within a word
    | [\u201c\xab\u2018][^\u201d\xbb\u2019\n]*[\u201d\xbb\u2019]
    | (?<!{_WORD})(?:{_WORD}+@{_WORD}+|{_WORD}*[0-9]{_WORD}*)  # an e-mail address, or a word with a digit in it
    """,
    re.VERBOSE | re.IGNORECASE,
)
_RUN = re.compile(r"\#(?:[\s,;:./+-]*\#)+")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause under its id, with the message of the first item that failed so."""

    id: str
    code: str
    partition: str
    message: str
    retryable: bool
    """Whether running again the same input may help."""


@lru_cache(maxsize=4096)
def cause_id(code: str, message: str, partition: str) -> str:
    """The id: the version, then 64 bits over code, message_template and partition."""
    text = "\x00".join((code, message_template(message), partition))
    return f"{VERSION}-{blake2b(text.encode(errors='replace'), digest_size=8).hexdigest()}"


def message_template(message: str) -> str:
    """A message with # in the place of addresses, quoted values, numbers and ids, however many stand in a row."""
    text = _VARIABLE.sub("#", message[:_MAX_LENGTH])
    return _SPACE.sub(" ", _RUN.sub("#", text)).strip().lower()
