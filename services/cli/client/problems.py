"""Turns a problem document (RFC 9457) that the server answered into the error of a command."""

from typing import Any, Protocol

import orjson

from services.cli.client.address import Address
from services.cli.errors import CliError, NotFound, NotReachable, Refused
from services.cli.exit_codes import Exit

MAX_PROBLEM_BYTES = 64 * 1024
_UNAVAILABLE_STATUSES = frozenset({502, 503, 504})
"""A service behind the API did not answer."""
_RETRY_LATER_STATUSES = frozenset({408, 429})
_IN_PROGRESS = "idempotency_in_progress"
_NEXT_STEPS = {
    "batch_not_found": "List them with `batchyard list`.",
    "unknown_workload": "List them with `batchyard workloads`.",
    "dead_letter_not_found": "List them with `batchyard dead-letters list`.",
}
"""Advice when something does not exist, by error code."""


class Headers(Protocol):
    """Headers of a response, whatever library read them."""

    def get(self, name: str, failobj: str, /) -> str: ...


def error_of(address: Address, status: int, reason: str, headers: Headers, body: bytes) -> CliError:
    """Return the error that a response with a status of 300 or more stands for."""
    if status < 400:
        moved = headers.get("Location", "another address")
        return Refused(f"{address.url} leads to {moved}.", "Give that address in BATCHYARD_URL or --url.")
    problem = _problem(body)
    what = str(problem.get("detail") or problem.get("title") or f"HTTP {status} {reason}")
    if status == 404:
        return NotFound(what, _NEXT_STEPS.get(str(problem.get("code")), ""))
    if status == 401:
        return Refused(what, _token_advice(address))
    retry_later = status in _UNAVAILABLE_STATUSES | _RETRY_LATER_STATUSES or problem.get("code") == _IN_PROGRESS
    error: CliError
    if status in _UNAVAILABLE_STATUSES:
        next_step = "A service behind the HTTP API does not answer. Try again; if it stays so, look into its log."
        error = NotReachable(what, next_step)
    else:
        error = _refused(what, problem)
    if retry_later:
        retry_after = headers.get("Retry-After", "")
        error.retry_after_s = float(retry_after) if retry_after.isdecimal() else 1.0
    return error


def _refused(what: str, problem: dict[str, Any]) -> Refused:
    line, items = problem.get("line"), problem.get("items")
    refused = Refused(what, line=line if isinstance(line, int) else None)
    refused.batch_id = problem.get("batch_id")
    refused.items = items if isinstance(items, int) else 0
    if refused.line is not None:  # the input is wrong, wherever that was noticed
        refused.exit = Exit.USAGE
    return refused


def _token_advice(address: Address) -> str:
    if address.token_is_of is not None:
        return f"BATCHYARD_TOKEN belongs to {address.token_is_of} and was not sent. Set both variables to one server."
    return "Put your token into BATCHYARD_TOKEN."


def _problem(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
