"""Maps HTTP statuses to workload errors, for senders whose manuals say nothing more exact."""

from collections.abc import Mapping
from datetime import datetime

from batchyard_contracts.workload import Ambiguous, Permanent, RateLimited, Scope, Transient, WorkloadError
from batchyard_contracts.workload.rate_limit_headers import pause_s

TRANSIENT = frozenset((408, 425, 500, 502, 503, 504))
_NOT_TAKEN = frozenset((408, 425))
"""Statuses by which a server states that it did not process the request."""
_PROXIES_OWN = 520
"""Smallest status that proxies invented, for servers that they cannot reach."""
ACCESS = frozenset((401, 402, 403))


def error_of(
    status: int,
    headers: Mapping[str, str],
    said: str,
    now: datetime,
    *,
    repeatable: bool = True,
    access_scope: Scope = "provider",
) -> WorkloadError:
    """Return the error for a status that is no success; `said` is its message.

    A call that is not `repeatable` may have had its effect when a server breaks down over it. `access_scope` tells
    whether the key that a 401, 402 or 403 refuses is the deployment's or the item's.
    """
    if status == 429:
        return RateLimited.from_headers(headers, said, now=now)
    if status == 503 and (asked_s := pause_s(headers, now)) is not None:
        return RateLimited(asked_s, said, code="unavailable")
    if status in TRANSIENT or status >= _PROXIES_OWN:
        if repeatable or status in _NOT_TAKEN:
            return Transient(f"http_{status}", said)
        return Ambiguous(f"{said} The call may have had its effect, and is not repeated by itself.")
    return Permanent(f"http_{status}", said, scope=access_scope if status in ACCESS else "item")
