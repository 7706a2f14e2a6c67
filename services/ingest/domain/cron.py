"""Cron expressions by the rules of Debian's cron, also where clocks change.

A time at which minute and hour are both fixed runs once where the clock is set back, and immediately after a time that
the clock skips. An expression whose minute or hour begins with `*` follows the clock. There is no package for it that
comes as a wheel: cronsim, with which this agrees, is distributed as source alone, and installations take wheels only.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_RANGES = (range(60), range(24), range(1, 32), range(1, 13), range(8))
_LAST = 32
"""Day of the month that stands for the last one, `L`."""
_MAX_DAYS = 45 * 366
"""Days that are searched: the 29th of February falls on each day of the week within 40 years."""
_LAST_YEAR = 9000
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression with five fields, or a macro such as `@daily`; `parse` raises `ValueError`."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[tuple[int, int]]
    """Days of the week, 0 is Sunday, each with its number in the month (`MON#2`), or 0."""
    needs_both_days: bool
    """True if a day has to fit both day fields, since one of them begins with `*`; otherwise one is enough."""
    is_fixed: bool
    """True if neither minute nor hour begins with `*`, so that each time of a day runs once."""

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Return the expression; raises `ValueError`, whose text names the wrong field."""
        parts = MACROS.get(text.strip().lower(), text).upper().split()
        if len(parts) != len(_FIELDS):
            raise ValueError(
                "a cron expression has five fields: minute, hour, day of the month, month, day of the week"
            )
        minutes, hours, days, months = (_numbers(part, place) for place, part in enumerate(parts[:4]))
        needs_both = parts[2].startswith("*") or parts[4].startswith("*")
        is_fixed = not parts[0].startswith("*") and not parts[1].startswith("*")
        found = cls(minutes, hours, days, months, _weekdays(parts[4]), needs_both, is_fixed)
        if found.after(datetime(2000, 1, 1, tzinfo=UTC), ZoneInfo("UTC")) is None:
            raise ValueError("no day ever fits: the month has no such day")
        return found

    def after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """Return the first time after a moment, in UTC; None if there is none within 45 years."""
        return next(self.times(moment, zone), None)

    def times(self, moment: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Yield the times after a moment, in UTC, up to a gap of 45 years."""
        last = moment.astimezone(UTC)
        day, searched = (last.astimezone(zone) - timedelta(days=1)).date(), 0
        while searched < _MAX_DAYS and day.year < _LAST_YEAR:
            if self._fits(day):
                for at in self._times(day, zone):
                    if at > last:
                        yield at
                        last, searched = at, 0
            day, searched = day + timedelta(days=1), searched + 1

    def is_wall_time(self, local: datetime) -> bool:
        """Tell whether a local time is one that the expression names; after a skipped time it is not."""
        return self._fits(local.date()) and local.hour in self.hours and local.minute in self.minutes

    def _fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month = day.day in self.days or (_LAST in self.days and day.day == monthrange(day.year, day.month)[1])
        weekday = day.isoweekday() % 7
        in_week = (weekday, 0) in self.weekdays or (weekday, (day.day + 6) // 7) in self.weekdays
        return in_month and in_week if self.needs_both_days else in_month or in_week

    def _times(self, day: date, zone: ZoneInfo) -> list[datetime]:
        """Return the times of a day, in UTC, the earliest first."""
        midnight = datetime.combine(day, time())
        local = [midnight.replace(hour=h, minute=m) for h in sorted(self.hours) for m in sorted(self.minutes)]
        offset = midnight.replace(tzinfo=zone).utcoffset() or timedelta()
        if offset == (midnight + timedelta(days=1)).replace(tzinfo=zone).utcoffset():
            return [(each - offset).replace(tzinfo=UTC) for each in local]
        found: set[datetime] = set()
        for each in local:
            found.update(self._where_clocks_change(each.replace(tzinfo=zone)))
        return sorted(found)

    def _where_clocks_change(self, local: datetime) -> Iterator[datetime]:
        if not is_skipped(local):
            yield local.astimezone(UTC)
            if not self.is_fixed:
                yield local.replace(fold=1).astimezone(UTC)
        elif self.is_fixed:
            while is_skipped(local):
                local += _MINUTE
            yield local.astimezone(UTC)


def is_skipped(local: datetime) -> bool:
    """Tell whether the clock of its zone skips a local time."""
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) != local.replace(tzinfo=None)


def is_repeated(local: datetime) -> bool:
    """Tell whether the clock of its zone shows a local time twice."""
    return not is_skipped(local) and local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def _weekdays(part: str) -> frozenset[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    for term in part.split(","):
        day, mark, number = term.partition("#")
        if mark and (number not in {"1", "2", "3", "4", "5"} or not (day in _DAYS or day.isdigit())):
            raise ValueError(_wrong(4, term))
        found |= {(each % 7, int(number or 0)) for each in _term(day, 4)}
    return frozenset(found)


def _numbers(part: str, place: int) -> frozenset[int]:
    return frozenset(number for term in part.split(",") for number in _term(term, place))


def _term(term: str, place: int) -> list[int]:
    """Return the numbers of `*`, `5`, `MON`, `1-5`, `*/15`, `10-30/5` or `5/15`."""
    span, slash, step_text = term.partition("/")
    if slash and (not step_text.isascii() or not step_text.isdigit() or not int(step_text)):
        raise ValueError(_wrong(place, term))
    step = int(step_text) if slash else 1
    if span == "*":
        return list(_RANGES[place])[::step]
    if place == 2 and span == "L" and not slash:
        return [_LAST]
    first_text, dash, last_text = span.partition("-")
    first = _number(first_text, place, term)
    last = _number(last_text, place, term) if dash else _RANGES[place][-1] if slash else first
    if last < first:
        raise ValueError(_wrong(place, term))
    return list(range(first, last + 1, step))


def _number(text: str, place: int, term: str) -> int:
    if place == 3 and text in _MONTHS:
        return _MONTHS.index(text) + 1
    if place == 4 and text in _DAYS:
        return _DAYS.index(text)
    if text.isascii() and text.isdigit() and len(text) <= 2 and int(text) in _RANGES[place]:
        return int(text)
    raise ValueError(_wrong(place, term))


def _wrong(place: int, term: str) -> str:
    return f"{term[:20]!r} is no {_FIELDS[place]}"
