"""Turns a problem document (RFC 9457) that the server answered into the error of a command."""

import re
from typing import Any, Protocol

import msgspec

from services.cli.client.address import Address
from services.cli.client.wrong_rows import wrong_rows_text
from services.cli.errors import CliError, NotFound, NotReachable, Refused, WrongRow
from services.cli.exit_codes import Exit

MAX_PROBLEM_BYTES = 1024 * 1024
_UNAVAILABLE_STATUSES = frozenset({502, 503, 504})
"""A service behind the API did not answer."""
_RETRY_LATER_STATUSES = frozenset({408, 429})
_IN_PROGRESS = "idempotency_in_progress"
_UNREADABLE_INPUT = frozenset({"malformed_csv", "malformed_ndjson", "malformed_json", "unsupported_charset"})
"""Codes of a file that is wrong as a whole, so that no line is named."""
_NEXT_STEPS = {
    "key_not_found": "List them with `batchyard keys list`.",
    "batch_not_found": "List them with `batchyard list`.",
    "unknown_workload": "List them with `batchyard workloads`.",
    "template_not_found": "List them with `batchyard templates list`.",
    "schedule_not_found": "List them with `batchyard schedules list`.",
    "dead_letter_not_found": "List them with `batchyard dead-letters list`.",
}
"""Advice when something does not exist, by error code."""


_OPTIONS = {
    "dry_run": "--dry-run",
    "skip_invalid": "--skip-invalid",
    "failure_threshold": "--failure-threshold",
    "idempotency_key": "--idempotency-key",
    "notify.webhooks": "--notify-webhook",
    "notify.emails": "--notify-email",
    "retry": "--retry",
    "dedup": "--dedup",
    "dedup.ttl_s": "--dedup-ttl",
    "cache": "--cache",
    "workload": "WORKLOAD",
    "priority": "--priority",
    "labels": "--label",
    "name": "--name",
    "weight": "--weight",
    "rate": "--rate",
    "rate.per_second": "--rate",
    "concurrency": "--concurrency",
    "deadline": "--deadline",
}
"""Options of the command line, by the fields of the API that they set."""
_FIELD = re.compile(r"`([a-z_]+(?:\.[a-z_]+)*)(?:\.[0-9]+)?`|\b(dry_run|skip_invalid)\b")


class Headers(Protocol):
    """Headers of a response, whatever library read them."""

    def get(self, name: str, failobj: str, /) -> str: ...


def error_of(address: Address, status: int, reason: str, headers: Headers, body: bytes) -> CliError:
    """Return the error that a response with a status of 300 or more stands for."""
    if status < 400:
        moved = headers.get("Location", "another address")
        return Refused(f"{address.url} leads to {moved}.", "Give that address in BATCHYARD_URL or --url.")
    problem = _problem(body)
    what = _in_options(problem.get("detail") or problem.get("title") or f"HTTP {status} {reason}")
    code = str(problem.get("code"))
    if status == 404 or code == "unknown_workload":  # a submission names its workload in the body: 422
        return NotFound(what, _NEXT_STEPS.get(code, ""))
    if status == 401:
        return Refused(what, _token_advice(address))
    retry_later = status in _UNAVAILABLE_STATUSES | _RETRY_LATER_STATUSES or code == _IN_PROGRESS
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
    refused.wrong_rows, refused.wrong_count = _wrong_rows(problem)
    if len(refused.wrong_rows) > 1:
        refused.what = wrong_rows_text(refused.wrong_rows, refused.wrong_count, "item")
    if (
        refused.line is not None or problem.get("code") in _UNREADABLE_INPUT
    ):  # the input is wrong, wherever that was noticed
        refused.exit = Exit.USAGE
    return refused


def _wrong_rows(problem: dict[str, Any]) -> tuple[list[WrongRow], int]:
    """Return the rows at fault, and the number of all of them."""
    errors = problem.get("errors")
    found = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    rows = [
        WrongRow(each["line"] if isinstance(each.get("line"), int) else None, _in_options(each.get("detail", "")))
        for each in found
    ]
    count = problem.get("error_count")
    return rows, max(count if isinstance(count, int) else 0, len(rows))


def _in_options(detail: object) -> str:
    """Return a detail with the options of the command line in place of fields of the API."""
    return _FIELD.sub(lambda found: _OPTIONS.get(found[1] or found[2], found[0]), str(detail))


def _token_advice(address: Address) -> str:
    if address.token_is_of is not None:
        return f"BATCHYARD_TOKEN belongs to {address.token_is_of} and was not sent. Set both variables to one server."
    return "Put your API key into BATCHYARD_TOKEN."


def _problem(body: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return document if isinstance(document, dict) else {}
