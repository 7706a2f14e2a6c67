"""Turns numbers of periods into dates: days, weeks, or months of the calendar."""

import calendar
import datetime as dt
import math
from typing import Literal

LAST = dt.date(9999, 12, 31)


def date_after(start: dt.date, periods: float, unit: Literal["day", "week", "month"]) -> dt.date:
    """The date so many periods after the start, rounded up to whole days; the end of the calendar at the latest.

    A month is one of the calendar, and a part of one is that part of its days.
    """
    if not math.isfinite(periods) or periods > 3_000_000:
        return LAST
    try:
        if unit != "month":
            return start + dt.timedelta(days=_up(periods * (7 if unit == "week" else 1)))
        whole = math.floor(periods + 1e-9)
        begun = _months_after(start, whole)
        length = (_months_after(start, whole + 1) - begun).days
        return begun + dt.timedelta(days=_up(max(0.0, periods - whole) * length))
    except (OverflowError, ValueError):
        return LAST


def _up(days: float) -> int:
    return math.ceil(days - 1e-6)


def _months_after(start: dt.date, months: int) -> dt.date:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return dt.date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))
