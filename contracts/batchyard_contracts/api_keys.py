"""The form of API keys: `by_<environment>_<id><secret><checksum>`, in letters and digits.

The id (8 characters) names the key and is no secret. The secret has 32 characters. The checksum (6 characters) is the
CRC-32 of all that stands before it, so that clients and scanners reject a typing error without asking a server.
"""

import re
import secrets
import zlib
from collections.abc import Callable

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 8, 32, 6
_KEY = re.compile(r"by_[a-z0-9]{1,12}_[0-9A-Za-z]{46}")
API_KEY = re.compile(r"\bby_([a-z0-9]{1,12})_([0-9A-Za-z]{8})[0-9A-Za-z]{20,}")
"""Matches API keys in a text, also ones that were cut off, with their environment and id as groups."""


def new_key_id(choose: Callable[[str], str] = secrets.choice) -> str:
    """Create an id for a key."""
    return "".join(choose(_DIGITS) for _ in range(_ID_LENGTH))


def new_api_key(environment: str, choose: Callable[[str], str] = secrets.choice) -> str:
    """Create a key for an environment, which has 1 to 12 small letters and digits."""
    key_id = new_key_id(choose)
    secret = "".join(choose(_DIGITS) for _ in range(_SECRET_LENGTH))
    start = f"by_{environment}_{key_id}{secret}"
    key = start + _checksum(start)
    if not is_api_key(key):
        raise ValueError(f"{environment!r} is not an environment: 1 to 12 small letters and digits")
    return key


def is_api_key(text: str) -> bool:
    """Tell whether a text has the form of a key and the right checksum."""
    return _KEY.fullmatch(text) is not None and _checksum(text[:-_CHECKSUM_LENGTH]) == text[-_CHECKSUM_LENGTH:]


def id_of(key: str) -> str:
    """Return the id in a key."""
    return key.rpartition("_")[2][:_ID_LENGTH]


def mask_keys(text: str) -> str:
    """Return the text with all that is secret of the keys in it left out; their ids stay."""
    return API_KEY.sub(r"by_\1_\2…", text)


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, place = divmod(number, len(_DIGITS))
        digits = _DIGITS[place] + digits
    return digits
