"""Removes the secrets of a call from its answer, in case the destination echoes them."""

import re
from collections.abc import Mapping

_SECRET = re.compile(
    r"authorization|cookie|secret|token|password|passwd|credential|api[-_]?key|[-_]key$", re.IGNORECASE
)
_NOT_SECRET = frozenset(("idempotency-key",))
_SHORTEST = 6
"""Smallest length of a secret that is removed: a shorter value occurs in any text by chance."""
BLANK = "[redacted]"


def secrets_of(headers: Mapping[str, str], secret_headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the secret values of an item's headers, and all of the operator's; the longest first."""
    found = [value for name, value in headers.items() if _SECRET.search(name) and name.lower() not in _NOT_SECRET]
    values = {part for value in (*found, *secret_headers.values()) for part in (value, value.rpartition(" ")[2])}
    return tuple(sorted((value for value in values if len(value) >= _SHORTEST), key=len, reverse=True))


def without(text: str, secrets: tuple[str, ...]) -> str:
    """Return the text with every secret replaced."""
    for secret in secrets:
        text = text.replace(secret, BLANK)
    return text
