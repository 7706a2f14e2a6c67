"""Reads what PropertyRadar answers: a page with its cost, or the error to raise."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from batchyard_contracts.workload import Permanent, RateLimited, Transient, WorkloadError
from services.worker.domain.status_errors import error_of

_PAUSE_S = 60.0
"""Pause after a 429 that does not say for how long."""
_FLAGS = ("is", "in", "has")
_MOST = 300


@dataclass(frozen=True, slots=True)
class LeadAnswer:
    """Page of records, or their count."""

    records: list[dict[str, Any]]
    found: int
    """Number of records that match, on all pages."""
    cost: Decimal | None
    """Cost of this request; None when the answer does not state it."""
    free_remaining: int | None


def answer_of(body: bytes) -> LeadAnswer | None:
    """Return the page in a body; None when the body is no page."""
    try:
        document = orjson.loads(body)
        records = document["results"]
        found = int(document["totalResultCount"])
        cost, free = document.get("totalCost"), document.get("quantityFreeRemaining")
        if not isinstance(records, list) or not all(isinstance(one, dict) for one in records) or found < 0:
            return None
        money = None if cost is None else Decimal(str(cost))
        if money is not None and (not money.is_finite() or money < 0):
            return None
        return LeadAnswer([_plain(one) for one in records], found, money, None if free is None else int(free))
    except (ValueError, TypeError, KeyError, AttributeError, InvalidOperation):
        return None


def refusal_of(status: int, headers: Mapping[str, str], body: bytes, now: datetime, *, buying: bool) -> WorkloadError:
    """Return the error for an answer with an error status."""
    said = f"PropertyRadar answered {status}{_said(body)}."
    if status == 402:
        return Permanent("insufficient_credit", said, scope="provider")
    if status in (400, 422):
        return Permanent("bad_request", f"{said} Correct the criteria, the fields or the sorting.")
    error = error_of(status, headers, said, now, repeatable=not buying)
    if isinstance(error, RateLimited) and error.delay_s is None:
        return RateLimited(_PAUSE_S, said)
    return error


def unusable(*, buying: bool) -> WorkloadError:
    """Return the error for a successful answer that cannot be read."""
    if buying:
        return Permanent(
            "invalid_response", "What was bought came in an answer that cannot be read. Look at the account."
        )
    return Transient("invalid_response", "PropertyRadar's answer cannot be read.")


def _said(body: bytes) -> str:
    """Return the provider's message with the id by which its support finds the request."""
    try:
        document = orjson.loads(body)
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    told = next((document[name] for name in ("message", "error", "detail") if isinstance(document.get(name), str)), "")
    event = document.get("eventid")
    return (f": {told[:_MOST]}" if told else "") + (f" (event {str(event)[:64]})" if event else "")


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with its flags as booleans: the provider sends them as 1 and 0, sometimes as text."""
    return {name: _flag(value) if _is_flag(name) else value for name, value in record.items()}


def _is_flag(name: str) -> bool:
    return any(name.startswith(start) and name[len(start) : len(start) + 1].isupper() for start in _FLAGS)


def _flag(value: Any) -> Any:
    return {"1": True, "0": False}.get(str(value), value) if isinstance(value, int | str) else value
