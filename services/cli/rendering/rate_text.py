"""Rates in words."""

from services.cli.rendering.number_text import number_text


def rate_text(per_second: float | None) -> str:
    """Return a rate as text, by the second, the minute or the hour."""
    if per_second is None:
        return "no limit"
    for each, unit in ((1, "s"), (60, "min")):
        if per_second * each >= 1:
            return f"{number_text(per_second * each)}/{unit}"
    return f"{number_text(per_second * 3600)}/h"
