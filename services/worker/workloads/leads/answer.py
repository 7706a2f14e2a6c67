"""Reads what PropertyRadar answers: a page with its cost, or the error to raise.

An answer that was paid for is read whatever is around its records: a number that is missing or cannot be read is None.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from batchyard_contracts.workload import Ambiguous, Permanent, RateLimited, Transient, WorkloadError
from services.worker.domain.status_errors import error_of

_PAUSE_S = 60.0
"""Pause after a 429 that does not say for how long."""
_FLAGS = ("is", "in", "has")
_MOST = 300
_HUGE = Decimal(10) ** 12
_LISTS = ("results", "properties", "records", "items", "data")
"""Names under which records may stand, the documented one first."""


@dataclass(frozen=True, slots=True)
class LeadAnswer:
    """Page of records, or their count."""

    records: list[dict[str, Any]]
    found: int | None
    """Number of records that match, on all pages; None when the answer does not state it."""
    cost: Decimal | None
    """Cost of this request; None when the answer does not state it."""
    free_remaining: int | None


def answer_of(body: bytes) -> LeadAnswer | None:
    """Return the page in a body; None when the body holds no list of records."""
    try:
        document = _parsed(body)
    except (ValueError, RecursionError):
        return None
    records = _records(document)
    if records is None:
        return None
    fields = document if isinstance(document, dict) else {}
    found, free = _number(fields.get("totalResultCount")), _number(fields.get("quantityFreeRemaining"))
    return LeadAnswer(
        [_plain(one) for one in records],
        None if found is None else int(found),
        _number(fields.get("totalCost")),
        None if free is None else int(free),
    )


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


def unusable(body: bytes, *, buying: bool) -> WorkloadError:
    """Return the error for a successful answer that holds no list of records."""
    begins = body[:_MOST].decode("utf-8", "replace")
    if buying:
        return Ambiguous(f"The purchase was answered without records. Look at the account's usage. It begins: {begins}")
    return Transient("invalid_response", f"PropertyRadar's answer cannot be read. It begins: {begins}")


def _parsed(body: bytes) -> Any:
    """Parse JSON, also with numbers that JSON does not know: they become None."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body.decode("utf-8", "replace"), parse_constant=lambda _: None, parse_float=_finite)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _records(document: Any) -> list[dict[str, Any]] | None:
    """Return the first list of objects: the document itself, or what stands in it, at most one object deeper."""
    if isinstance(document, list):
        return document if all(isinstance(one, dict) for one in document) else None
    if not isinstance(document, dict):
        return None
    for name in _LISTS:
        value = document.get(name)
        if isinstance(value, list) and (found := _records(value)) is not None:
            return found
        if isinstance(value, dict) and (inner := next((value[n] for n in _LISTS if n in value), None)) is not None:
            return _records(inner) if isinstance(inner, list) else None
    return None


def _number(value: Any) -> Decimal | None:
    """Return a number that is not negative, also from a text such as "1,099.50" or "$12"; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value).replace(",", "").strip().lstrip("$"))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number < _HUGE else None


def _said(body: bytes) -> str:
    """Return the provider's message with the id by which its support finds the request."""
    try:
        document = orjson.loads(body)
    except ValueError:
        return ""
    if not isinstance(document, dict):
        return ""
    message = next(
        (document[name] for name in ("message", "error", "detail") if isinstance(document.get(name), str)), ""
    )
    event = document.get("eventid")
    return (f": {message[:_MOST]}" if message else "") + (f" (event {str(event)[:64]})" if event else "")


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with its flags as booleans: the provider sends them as 1 and 0, sometimes as text."""
    return {name: _flag(value) if _is_flag(name) else value for name, value in record.items()}


def _is_flag(name: str) -> bool:
    return any(name.startswith(start) and name[len(start) : len(start) + 1].isupper() for start in _FLAGS)


def _flag(value: Any) -> Any:
    return {"1": True, "0": False}.get(str(value), value) if isinstance(value, int | str) else value
