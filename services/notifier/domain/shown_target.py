"""Addresses of receivers as they may be shown: a URL often holds a secret, in its query or in its path."""

import re
from urllib.parse import urlsplit

from batchyard_contracts.v1.queries.deliveries import MAX_SHOWN_TARGET
from services.notifier.domain.delivery import Target

_HIDDEN = "\u2026"
_WORD = re.compile(r"[A-Za-z._~-]{1,15}|v[0-9]{1,3}")
"""Segment of a path that is a word, and no token: without digits, and short."""


def shown_target(target: Target) -> str:
    """Return an e-mail address as it is, and of a URL the scheme, the host and the words of its path."""
    shown = target.address if target.kind == "email" else _shown_url(target.address)
    return shown if len(shown) <= MAX_SHOWN_TARGET else shown[: MAX_SHOWN_TARGET - 1] + _HIDDEN


def _shown_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # not a valid address, which the delivery says
        return _HIDDEN
    host = f"[{host}]" if ":" in host else host
    path = "/".join(
        segment if not segment or _WORD.fullmatch(segment) else _HIDDEN for segment in parts.path.split("/")
    )
    query = f"?{_HIDDEN}" if parts.query or parts.fragment else ""
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}{query}"
