"""Parser of the rate-limit headers of HTTP responses: the requested pause, and the number of remaining calls.

The functions are pure; `headers` is any mapping, whose names may be in any case. Headers that cannot be parsed are
ignored, and no pause is longer than `MAX_PAUSE_S`. Supported are:

    retry-after-ms                                       milliseconds
    Retry-After                                          seconds, or an HTTP date (RFC 9110, 10.2.3)
    RateLimit, RateLimit-Policy                          draft-ietf-httpapi-ratelimit-headers: "name";r=5;t=30, and
                                                         its earlier form: limit=10, remaining=5, reset=30
    RateLimit-*, X-RateLimit-*, X-Rate-Limit-*           -Remaining and -Reset; a reset is in seconds, a moment in
                                                         seconds or milliseconds since 1970, a duration as `1m30.5s`,
                                                         or a date

Fields such as `x-ratelimit-reset-requests` are not supported: they give the time at which a quota is whole again,
though calls are accepted before.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_PAUSE_S = 24 * 3600.0
"""Longest pause in seconds; longer ones are cut to it, so that a monthly quota does not stop work for a month."""
_MOST = 1_000_000_000
"""Largest number of remaining calls; larger ones limit nothing."""
_EPOCH_FROM = 1_000_000_000
"""Reset from which on it is a time in seconds since 1970, as some senders write it."""
_EPOCH_MS_FROM = 100 * _EPOCH_FROM
_LONGEST = 1000
_QUOTA = re.compile(r'("[^"]*"|[A-Za-z*][\w*.:/-]*)((?:\s*;\s*[a-z]+=(?:"[^"]*"|:[^:]*:|[^;,"]*))*)')
_PARAMETER = re.compile(r";\s*([a-z]+)=(\d{1,15})(?![\w.])")
_STATED = re.compile(r"\b(remaining|reset)=(\d{1,15})(?![\w.])")
_DURATION = re.compile(
    r"(?:([\d.]{1,15})d)?(?:([\d.]{1,15})h)?(?:([\d.]{1,15})m(?!s))?(?:([\d.]{1,15})s)?(?:([\d.]{1,15})ms)?"
)
_UNITS_S = (86_400.0, 3600.0, 60.0, 1.0, 0.001)
_LISTS = frozenset(("ratelimit", "ratelimit-policy"))
_PREFIXES = ("ratelimit", "x-ratelimit", "x-rate-limit")


@dataclass(frozen=True, slots=True)
class RemainingCalls:
    """Number of calls that the sender accepts within `reset_s` seconds."""

    calls: int
    reset_s: float


def pause_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Pause in seconds that a refusal asks for; None: it states none. `now` is an aware time.

    It is taken from `retry-after-ms`, else from `Retry-After`, else it is the longest reset of the exhausted quotas. A
    quota with a reset alone counts as exhausted.
    """
    stated = _lower(headers)
    now = _moment(stated.get("date")) or now  # so that a wrong clock, here or there, does no harm
    milliseconds = _number(stated.get("retry-after-ms"))
    if milliseconds is not None and milliseconds > 0:
        return _bounded(milliseconds / 1000)
    after = stated.get("retry-after")
    seconds = _number(after)
    if seconds is None and (until := _moment(after)) is not None:
        seconds = (until - now).total_seconds()
    if seconds is not None:
        return _bounded(seconds)
    waits = [reset_s for calls, reset_s in _quotas(stated, now) if not calls]
    return max(waits, default=None)


def remaining_calls(headers: Mapping[str, str], now: datetime) -> RemainingCalls | None:
    """Tightest quota that a response states, whatever its status; None: it states none. `now` is an aware time.

    Quotas of bytes count only when they are exhausted, because the bytes of a call are unknown.
    """
    if not any("limit" in name.lower() for name in headers):
        return None
    stated = _lower(headers)
    now = _moment(stated.get("date")) or now
    known = [RemainingCalls(calls, reset) for calls, reset in _quotas(stated, now) if calls is not None and reset > 0]
    return min(known, key=lambda quota: (quota.calls, -quota.reset_s), default=None)


def _quotas(stated: Mapping[str, str], now: datetime) -> Iterator[tuple[int | None, float]]:
    """Yield the remaining calls of each quota, None if unknown, and the seconds until its reset."""
    yield from _drafted(stated)
    for prefix in _PREFIXES:
        reset_s = _reset_s(stated.get(f"{prefix}-reset"), now)
        left = _number(stated.get(f"{prefix}-remaining"))
        if reset_s is not None and (left is None or left >= 0):
            yield None if left is None else int(min(left, _MOST)), reset_s


def _drafted(stated: Mapping[str, str]) -> Iterator[tuple[int | None, float]]:
    earlier = {name: int(value) for name, value in _STATED.findall(stated.get("ratelimit", "")[:_LONGEST])}
    if len(earlier) == 2:
        yield min(earlier["remaining"], _MOST), _bounded(earlier["reset"])
    policies = {name: (parameters, text) for name, parameters, text in _items(stated.get("ratelimit-policy"))}
    for name, parameters, _ in _items(stated.get("ratelimit")):
        policy, text = policies.get(name, ({}, ""))
        reset_s = parameters.get("t", policy.get("w"))  # without `t`: there is more after a whole window at the latest
        if "r" not in parameters or reset_s is None or (parameters["r"] > 0 and _counts_no_calls(text)):
            continue
        yield min(parameters["r"], _MOST), _bounded(reset_s)


def _items(field: str | None) -> Iterator[tuple[str, dict[str, int], str]]:
    for match in _QUOTA.finditer((field or "")[:_LONGEST]):
        yield match[1].strip('"'), {name: int(value) for name, value in _PARAMETER.findall(match[2])}, match[2]


def _counts_no_calls(policy: str) -> bool:
    return "qu=" in policy and 'qu="requests"' not in policy


def _reset_s(text: str | None, now: datetime) -> float | None:
    number = _number(text)
    if number is None:
        if (duration := _duration_s(text or "")) is not None:
            return duration
        return None if (until := _moment(text)) is None else _bounded((until - now).total_seconds())
    if number >= _EPOCH_MS_FROM:
        number /= 1000
    return _bounded(number - now.timestamp() if number >= _EPOCH_FROM else number)


def _duration_s(text: str) -> float | None:
    match = _DURATION.fullmatch(text.strip())
    parts = [_number(part) for part in match.groups()] if match else []
    known = [unit * part for unit, part in zip(_UNITS_S, parts, strict=False) if part is not None]
    return _bounded(sum(known)) if known else None


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_PAUSE_S)


def _number(text: str | None) -> float | None:
    try:
        number = float((text or "")[:_LONGEST])
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _moment(text: str | None) -> datetime | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read((text or "")[:_LONGEST])
        except (ValueError, OverflowError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    lower: dict[str, str] = {}
    for header, value in headers.items():  # a list that came as several fields is one list
        name = header.lower()
        lower[name] = f"{lower[name]}, {value}" if name in lower and name in _LISTS else lower.get(name, value)
    return lower
