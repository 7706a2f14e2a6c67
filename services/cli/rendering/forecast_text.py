"""Tells in words when a batch will end."""

from datetime import datetime, timedelta

from services.cli.client.documents import Forecast

_EXACT = timedelta(minutes=10)
"""Time to the end beyond which seconds say nothing."""


def forecast_text(forecast: Forecast, now: datetime) -> str:
    """Return the interval in which the batch ends, or that it is not known yet."""
    if forecast.p10 is None or forecast.p50 is None or forecast.p90 is None:
        return "at a time that is not known yet"
    exact = forecast.p90 - now < _EXACT
    first, last, likely = (_clock(at, now, exact=exact) for at in (forecast.p10, forecast.p90, forecast.p50))
    return f"at {likely}" if first == last else f"{first} to {last}, likely {likely}"


def forecast_with_reason(forecast: Forecast, now: datetime) -> str:
    """Return the interval, and what binds."""
    words = forecast_text(forecast, now)
    return f"{words}. {forecast.reason.detail}" if forecast.reason else words


def _clock(at: datetime, now: datetime, *, exact: bool) -> str:
    local, today = at.astimezone(), now.astimezone()
    form = "%H:%M:%S" if exact else "%H:%M"
    return local.strftime(form if local.date() == today.date() else f"%Y-%m-%d {form}")
