"""The terms of a batch as the command line writes them: `20/s`, `2h`, `10%`, `captcha=5`, `http_503=6,2s,5min`."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from services.cli.errors import BadInput

_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|min|h|d)")
_RULE = re.compile(r"([a-z][a-z0-9_.]{0,63})=(\d{1,3})(?:,([^,]+))?(?:,([^,]+))?")
_ATTEMPTS_MAX = 100
_TTL_MAX_S = 30 * 86_400
_BOUND = re.compile(r"(?:([a-z][a-z0-9_.]{0,63})=)?(\d+(?:\.\d+)?)(%?)")


@dataclass(frozen=True)
class TermOptions:
    """Terms of a batch in the options of a command; None or empty: not set."""

    weight: int | None = None
    rate: str | None = None
    concurrency: int | None = None
    deadline: str | None = None
    failure_threshold: Sequence[str] = ()
    cache: str | None = None
    dedup: str | None = None
    dedup_ttl: str | None = None
    retry: Sequence[str] = ()
    not_before: str | None = None

    def fields(self, now: datetime) -> dict[str, Any]:
        """Return the fields of the command, without those that are not set. Raises `BadInput`."""
        found = {
            "weight": self.weight,
            "rate": self.rate and rate_of(self.rate),
            "concurrency": self.concurrency,
            "not_before": self.not_before and time_of(self.not_before, now, "a time to start"),
            "deadline": self.deadline and time_of(self.deadline, now, "a deadline"),
            "failure_threshold": _threshold(self.failure_threshold) if self.failure_threshold else None,
            "retry": dict(map(_rule, self.retry)) or None,
            "cache": self.cache,
            "dedup": _dedup(self.dedup, self.dedup_ttl),
        }
        return {name: value for name, value in found.items() if value is not None}


def rate_of(text: str) -> dict[str, Any]:
    """Return a rate whose burst is a tenth of a second of it."""
    match = _RATE.fullmatch(text)
    if match is None or not float(match[1]):
        raise BadInput(f"{text!r} is not a rate.", "Write it as 20/s, 600/min or 100/h.")
    per_second = float(match[1]) / _SECONDS[match[2]]
    return {"per_second": per_second, "burst": max(1, math.ceil(per_second / 10))}


def _rule(text: str) -> tuple[str, dict[str, Any]]:
    """Return a retry rule for a code, or for `default`: the number of attempts, the first and the longest pause."""
    match = _RULE.fullmatch(text)
    rule: dict[str, Any] = {} if match is None else {"attempts": int(match[2])}
    if match is None or not 1 <= rule["attempts"] <= _ATTEMPTS_MAX:
        raise BadInput(
            f"{text!r} is not a retry rule.",
            f"Write CODE=ATTEMPTS (1 to {_ATTEMPTS_MAX}), or with the first and the longest pause, http_503=6,2s,5min.",
        )
    for name, span in (("base_s", match[3]), ("cap_s", match[4])):
        if span is not None:
            rule[name] = seconds_of(span)
    return match[1], rule


def seconds_of(text: str) -> float:
    """Return a span of time in seconds; raises `BadInput`."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise BadInput(f"{text!r} is not a span of time.", "Write 90s, 30min, 2h or 1d.")
    return float(match[1]) * _SECONDS[match[2]]


def time_of(text: str, now: datetime, what: str) -> str:
    """Return a time that is written as such, or as a span from now; raises `BadInput`, which says `what` it is not."""
    if match := _SPAN.fullmatch(text):
        return (now + timedelta(seconds=float(match[1]) * _SECONDS[match[2]])).isoformat()
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError as error:
        raise BadInput(
            f"{text!r} is not {what}.", "Write a span, 90s, 30min, 2h or 1d, or a time, 2026-12-24T18:00."
        ) from error


def moment_of(text: str | None) -> str | None:
    """Return a point in time as the server takes it, or None as it is."""
    return None if text is None else time_of(text, datetime.now(UTC), "a time")


def _dedup(mode: str | None, ttl: str | None) -> dict[str, Any] | None:
    if mode is None:
        if ttl is not None:
            raise BadInput("--dedup-ttl says nothing without --dedup.", "Give --dedup attach, reject or replace.")
        return None
    if ttl is None:
        return {"mode": mode}
    ttl_s = seconds_of(ttl)
    if ttl_s > _TTL_MAX_S:
        raise BadInput(f"--dedup-ttl {ttl} is too long.", "Give 30d or less.")
    return {"mode": mode, "ttl_s": max(1, round(ttl_s))}


def _threshold(bounds: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for bound in bounds:
        match = _BOUND.fullmatch(bound)
        if (
            match is None
            or (match[1] and match[3])
            or (not match[3] and "." in match[2])
            or (match[3] and float(match[2]) >= 100)
        ):
            raise BadInput(
                f"{bound!r} does not say when to stop.",
                "Write a number, 100, a share below 100%, 10%, or a number for an error code, captcha=5.",
            )
        if match[1]:
            found.setdefault("codes", {})[match[1]] = int(match[2])
        elif match[3]:
            found["share"] = float(match[2]) / 100
        else:
            found["count"] = int(match[2])
    return found
