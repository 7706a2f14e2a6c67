"""Rates in words."""


def rate_text(per_second: float | None) -> str:
    """Return a rate as text, by the second, the minute or the hour."""
    if per_second is None:
        return "no limit"
    for each, unit in ((1, "s"), (60, "min")):
        if per_second * each >= 1:
            return f"{per_second * each:.3g}/{unit}"
    return f"{per_second * 3600:.3g}/h"
