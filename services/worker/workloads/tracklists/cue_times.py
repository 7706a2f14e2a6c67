"""Finds the start of each row in the set, which a page states in up to three places that may differ."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MAX_SECONDS = 48 * 3600
"""Upper bound of the length of a set in seconds; a larger time is an error of the page."""

_CLOCK = re.compile(r"(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d)")
_ENTRY = re.compile(
    r"cueValuesEntry\.seconds\s*=\s*['\"]?(?P<seconds>\d{1,9}(?:\.\d{1,6})?)"
    r"|cueValuesEntry\.ids\[\d+\]\s*=\s*['\"](?P<id>[^'\"]{1,100})['\"]"
)
_ISO_DURATION = re.compile(r"PT(?:(\d{1,3})H)?(?:(\d{1,4})M)?(?:(\d{1,5})(?:\.\d+)?S)?")


@dataclass(frozen=True, slots=True)
class CueSources:
    """Start times that a row states, best source first: the script's map, the text that is shown, the hidden field."""

    mapped: float | None = None
    shown: float | None = None
    hidden: float | None = None

    def after_start(self) -> float | None:
        """Return the time of the first source that states one. 0 states none: pages write it for "no cue" as well."""
        return next((value for value in (self.mapped, self.shown, self.hidden) if value), None)

    def has_zero(self) -> bool:
        """Tell whether the row may start the set."""
        return 0 in (self.mapped, self.shown, self.hidden)


def settle(rows: Sequence[tuple[CueSources, bool]]) -> list[float | None]:
    """Return the cue of each row, by its sources and whether it is played together with the previous one.

    A cue of 0 counts for the opening row (and those played together with it), and only where another row has a time:
    a set without any cue still claims that its first track starts at 0. A row that nothing speaks of stays None.
    """
    times = [sources.after_start() for sources, _ in rows]
    if not any(time is not None for time in times):
        return times
    for index, (sources, together) in enumerate(rows):
        if index and not together:
            break
        if times[index] is None and sources.has_zero():
            times[index] = 0.0
    return times


def cue_map(scripts: Iterable[str]) -> Mapping[str, float]:
    """Return the seconds by the id of a row's content cell; rows that are played together share one entry."""
    found: dict[str, float] = {}
    for script in scripts:
        seconds: float | None = None
        for match in _ENTRY.finditer(script):
            if match["seconds"] is not None:
                seconds = _bounded(float(match["seconds"]))
            elif seconds is not None:
                found[match["id"]] = seconds
    return found


def clock_seconds(text: str) -> float | None:
    """Return the seconds of "03:47" or "1:16:30"; None for anything else."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return _bounded(float(hours * 3600 + minutes * 60 + seconds))


def field_seconds(text: str) -> float | None:
    """Return the seconds of a number in a form field; None for anything else."""
    match = re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text.strip())
    return _bounded(float(match[0])) if match else None


def iso_seconds(text: str) -> int | None:
    """Return the seconds of an ISO 8601 duration such as "PT4M49S"; None for anything else."""
    match = _ISO_DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _bounded(seconds: float) -> float | None:
    return seconds if seconds <= MAX_SECONDS else None
