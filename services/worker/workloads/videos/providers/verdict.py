"""Judges refusals of a provider: an error of the item, of the provider, or a transient one."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from batchyard_contracts.workload import Permanent, RateLimited, Transient, WorkloadError
from services.worker.domain.status_errors import error_of
from services.worker.workloads.videos.providers.provider import Failure, MayExist

_MODERATED_CODE = re.compile(
    r"moderat|sentinel|content_?(policy|filter|violation|block)|nsfw|safety|sensitive|policy_?violation|responsible_?ai|"
    r"inappropriate|prohibited|unsafe|explicit",
    re.IGNORECASE,
)
_MODERATED_TEXT = re.compile(
    r"moderat|sentinel_block|content[_ ]policy|content[_ ]filter|nsfw|safety (system|filter|checker|polic)|"
    r"flagged as|sensitive content|violat\w* .{0,40}(polic|guideline|terms)|\(E005\)",
    re.IGNORECASE,
)
_REASONS = ("error", "failure", "failure_reason", "error_message", "incomplete_details", "detail")
_CODES = ("failureCode", "failure_code", "error_code", "error_type")
"""Fields of a job in which providers say why it failed, and by which code."""
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_RESETS_IN = re.compile(r"resets in ~?(\d{1,5}) ?s")
_BAD_REQUEST = frozenset({400, 403, 413, 415, 422, 451})
_UNREADABLE = re.compile(r"[^a-z0-9_.]+")
_MOST = 500


def said(body: Any) -> tuple[str, str]:
    """Return code and text of an error in any common format: {"error": {"code", "message"}}, {"error": "…"},
    {"code", "message"}, {"detail": "…"}."""
    if not isinstance(body, dict):
        return "", ""
    error = body.get("error", body)
    if isinstance(error, str):
        return "", error[:_MOST]
    if not isinstance(error, dict):
        return "", ""
    code = error.get("code") or error.get("type") or ""
    message = error.get("message") or error.get("detail") or error.get("title") or ""
    return str(code)[:100], (message if isinstance(message, str) else str(message))[:_MOST]


def failure(job: dict[str, Any]) -> Failure:
    """Read why a job failed, from its description. A code may be a number, or the word for its status."""
    error = next((job[name] for name in _REASONS if isinstance(job.get(name), dict | str) and job[name]), None)
    code, message = said({"error": error} if error else None)
    code = code or next((str(job[name])[:100] for name in _CODES if isinstance(job.get(name), str | int)), "")
    word = str(job.get("status") or "")
    message = message or (f"The provider calls its status {word[:50]!r}." if word.lower() != "failed" else "")
    return Failure(code, message, moderated=_is_moderated(code, message) or bool(_MODERATED_CODE.search(word)))


def of_creation(
    status: int, headers: Mapping[str, str], body: Any, now: datetime, *, named: bool
) -> WorkloadError | MayExist:
    """Return the error of a call that creates a job. `named`: the item names its model: an unknown one is its fault."""
    code, message = said(body)
    if status in _BAD_REQUEST and _is_moderated(code, message):
        return Permanent("moderated", _text(status, message))
    if status in {404, 405}:
        what = "knows neither this model nor this address" if named else "has no such address or no such model"
        return Permanent("not_found", _text(status, f"The provider {what}. {message}"), scope=_scope(named))
    if status == 409 or (status >= 500 and not (status == 503 and "Retry-After" in headers)):
        return MayExist(_text(status, message))
    if status in {400, 413, 415, 422}:
        return Permanent("invalid_request", _text(status, message))
    return of_call(status, headers, body, now)


def of_call(status: int, headers: Mapping[str, str], body: Any, now: datetime) -> WorkloadError:
    """Return the error of any call."""
    code, message = said(body)
    if code in _NO_CREDIT or status == 402:
        return Permanent("insufficient_credit", _text(status, message), scope="provider")
    error = error_of(status, headers, _text(status, message), now)
    if isinstance(error, RateLimited) and error.delay_s is None and (resets_in := _RESETS_IN.search(message)):
        return RateLimited(float(resets_in[1]), error.message)
    return error


def of_failure(found: Failure, tries_left: bool) -> WorkloadError:
    """Return the error of a job that ended without a clip: `Transient` while another job may be made for it."""
    why = found.message or "The provider does not say why."
    if found.moderated:
        return Permanent("moderated", f"Refused for its content: {why}")
    code = _UNREADABLE.sub("_", found.code.lower()).strip("_.")[:50]
    if tries_left:
        return Transient("job_failed", why)
    return Permanent("job_failed", f"{why} ({code})" if code else why)


def _is_moderated(code: str, message: str) -> bool:
    return bool(_MODERATED_CODE.search(code) or _MODERATED_TEXT.search(message))


def _scope(named: bool) -> Any:
    return "item" if named else "provider"


def _text(status: int, message: str) -> str:
    return f"HTTP {status}: {message}" if message else f"HTTP {status}."
