"""The terms of a batch as the command line says them: `20/s`, `2h`, `10%`, `captcha=5`."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.cli.errors import BadInput

_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|min|h|d)")
_BOUND = re.compile(r"(?:([a-z][a-z0-9_.]{0,63})=)?(\d+(?:\.\d+)?)(%?)")


@dataclass(frozen=True)
class Said:
    """What the options say; None and empty: nothing."""

    weight: int | None = None
    rate: str | None = None
    concurrency: int | None = None
    deadline: str | None = None
    fail_after: Sequence[str] = ()
    cache: str | None = None
    dedup: str | None = None
    dedup_ttl: str | None = None

    def fields(self, now: datetime) -> dict[str, Any]:
        """The fields of the command; what is not set is left out. Raises `BadInput`."""
        found = {
            "weight": self.weight,
            "rate": self.rate and rate_of(self.rate),
            "concurrency": self.concurrency,
            "deadline": self.deadline and _deadline(self.deadline, now),
            "failure_threshold": _threshold(self.fail_after) if self.fail_after else None,
            "cache": self.cache,
            "dedup": _dedup(self.dedup, self.dedup_ttl),
        }
        return {name: value for name, value in found.items() if value is not None}


def rate_of(text: str) -> dict[str, Any]:
    """A rate, with a tenth of a second's worth at once."""
    match = _RATE.fullmatch(text)
    if match is None or not float(match[1]):
        raise BadInput(f"{text!r} is not a rate.", "Write it as 20/s, 600/min or 100/h.")
    per_second = float(match[1]) / _SECONDS[match[2]]
    return {"per_second": per_second, "burst": max(1, math.ceil(per_second / 10))}


def _deadline(text: str, now: datetime) -> str:
    if match := _SPAN.fullmatch(text):
        return (now + timedelta(seconds=float(match[1]) * _SECONDS[match[2]])).isoformat()
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError as error:
        raise BadInput(
            f"{text!r} is not a deadline.", "Write a span, 90s, 30min, 2h or 1d, or a time, 2026-12-24T18:00."
        ) from error


def _dedup(mode: str | None, ttl: str | None) -> dict[str, Any] | None:
    if mode is None:
        if ttl is not None:
            raise BadInput("--dedup-ttl says nothing without --dedup.", "Give --dedup attach, reject or replace.")
        return None
    if ttl is None:
        return {"mode": mode}
    match = _SPAN.fullmatch(ttl)
    if match is None:
        raise BadInput(f"{ttl!r} is not a span of time.", "Write 90s, 30min, 2h or 1d.")
    return {"mode": mode, "ttl_s": max(1, round(float(match[1]) * _SECONDS[match[2]]))}


def _threshold(bounds: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for bound in bounds:
        match = _BOUND.fullmatch(bound)
        if match is None or (match[1] and match[3]) or (not match[3] and "." in match[2]):
            raise BadInput(f"{bound!r} says not when to stop.", "Write a number, 100, a share, 10%, or captcha=5.")
        if match[1]:
            found.setdefault("codes", {})[match[1]] = int(match[2])
        elif match[3]:
            found["share"] = float(match[2]) / 100
        else:
            found["count"] = int(match[2])
    return found
