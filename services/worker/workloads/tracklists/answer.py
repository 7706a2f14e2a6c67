"""Judges an answer of the site: a tracklist, or the error that its status and its page stand for."""

from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser

from batchyard_contracts.workload import Permanent, RateLimited, Transient, WorkloadError
from batchyard_contracts.workload.rate_limit_headers import RemainingCalls
from services.worker.workloads.tracklists.gates import BLOCKED, CAPTCHA, NOT_FOUND, Refusal, find_gate
from services.worker.workloads.tracklists.model import Tracklist
from services.worker.workloads.tracklists.nesting import is_too_deep
from services.worker.workloads.tracklists.page import parse

GATE_STATUSES = {401: CAPTCHA, 403: BLOCKED}
"""Errors for these statuses, used when the page itself states no clearer reason."""

_MAY_BE_GATE = frozenset((401, 403, 429, 503))
_TRANSIENT = frozenset((408, 425, 500, 502, 503, 504))


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """Answer of the site with its page. `mitigated`: a protection in front of the site answered in its place."""

    html: str
    status: int = 200
    url: str = ""
    retry_after_s: float | None = None
    mitigated: bool = False
    remaining: RemainingCalls | None = None


def judge(answer: PageAnswer) -> Tracklist | WorkloadError:
    """Judge an answer: a tracklist, or the error to raise for it."""
    if answer.mitigated:
        return as_error(BLOCKED)
    if 200 <= answer.status < 300:
        read = parse(answer.html, answer.url)
        return as_error(read) if isinstance(read, Refusal) else read
    return _judge_status(answer)


def judge_saved(html: str, url: str = "") -> Tracklist | WorkloadError:
    """Judge a saved page: a gate in it fails its own item only, and is not fetched again."""
    read = parse(html, url)
    return Permanent(read.code, read.message) if isinstance(read, Refusal) else read


def as_error(refusal: Refusal) -> WorkloadError:
    """Return the error of a refusal: transient if it is worth another request."""
    kind = Transient if refusal.recheck else Permanent
    return kind(refusal.code, refusal.message, scope=refusal.scope)


def _judge_status(answer: PageAnswer) -> WorkloadError:
    status = answer.status
    if status in (404, 410):
        return as_error(NOT_FOUND)
    if status == 503 and answer.retry_after_s is not None:
        return RateLimited(answer.retry_after_s, "The site is busy and said for how long.", code="unavailable")
    if status == 429 and answer.retry_after_s is not None:
        return RateLimited(answer.retry_after_s, "The site asked for a pause and said for how long.")
    if status in _MAY_BE_GATE and (gate := _gate(answer.html) or GATE_STATUSES.get(status)):
        return as_error(gate)
    if status == 429:
        return RateLimited(None, "The site asked for a pause.")
    if status in _TRANSIENT:
        return Transient(f"http_{status}", f"The site answered with status {status}.")
    return Permanent(f"http_{status}", f"The site answered with status {status}, which no retry changes.")


def _gate(html: str) -> Refusal | None:
    return None if is_too_deep(html) else find_gate(LexborHTMLParser(html), html)
