"""Forecasts and estimates are told in words that promise no more than is known."""

from datetime import UTC, datetime, timedelta

import pytest

from services.cli.client.documents import Counts, Forecast, WaitReason
from services.cli.client.estimate_documents import Alternative, DelayedBatch, Estimate
from services.cli.client.follow import Snapshot
from services.cli.rendering.estimate_lines import estimate_lines
from services.cli.rendering.forecast_text import forecast_text, forecast_with_reason
from services.cli.rendering.progress_bar import progress_line

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
REASON = WaitReason(code="rate_limit", detail="The rate of a.example allows 5 items in a second.")


def forecast(p10_s: float, p50_s: float, p90_s: float) -> Forecast:
    p10, p50, p90 = (NOW + timedelta(seconds=seconds) for seconds in (p10_s, p50_s, p90_s))
    return Forecast(at=NOW, p10=p10, p50=p50, p90=p90, reason=REASON)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def local(seconds: float, form: str) -> str:
    return (NOW + timedelta(seconds=seconds)).astimezone().strftime(form)


def test_a_near_end_has_seconds_and_a_far_one_has_none() -> None:
    near, far = forecast_text(forecast(60, 75, 90), NOW), forecast_text(forecast(3600, 4000, 5000), NOW)
    assert near == f"{local(60, '%H:%M:%S')} to {local(90, '%H:%M:%S')}, likely {local(75, '%H:%M:%S')}"
    assert far == f"{local(3600, '%H:%M')} to {local(5000, '%H:%M')}, likely {local(4000, '%H:%M')}"


def test_another_day_is_named() -> None:
    assert "2026-12-0" in forecast_text(forecast(3600, 4000, 200_000), NOW)


def test_an_unknown_end_is_told_with_its_reason() -> None:
    assert forecast_with_reason(Forecast(at=NOW, reason=REASON), NOW) == (
        "at a time that is not known yet. The rate of a.example allows 5 items in a second."
    )


def test_the_line_of_a_batch_has_the_interval_in_place_of_the_guess() -> None:
    counts = Counts(total=10, succeeded=5, remaining=5)
    known = Snapshot("running", counts, None, 2.0, 3.0, {}, forecast=forecast(60, 75, 90))
    unknown = Snapshot("running", counts, None, 2.0, 3.0, {}, forecast=Forecast(at=NOW))
    assert "likely" in progress_line("x", known).plain
    assert "left" not in progress_line("x", known).plain
    assert "0:03 left" in progress_line("x", unknown).plain


def test_an_estimate_tells_the_end_the_chance_and_whom_it_delays() -> None:
    found = Estimate(
        forecast(60, 75, 90),
        items=1200,
        chance=0.4,
        alternatives=[Alternative("With a rate of 7/s …")],
        delays=[DelayedBatch("b1", 90)],
        delays_of_others=1,
    )
    first, *rest = estimate_lines(found, NOW)
    assert first.startswith("1,200 items would end ")
    assert rest == [
        REASON.detail,
        "The chance to end by the deadline is 40%.",
        "With a rate of 7/s …",
        "It would delay b1 by 1:30.",
        "It would delay 1 batch of others.",
    ]


def test_a_lack_of_alternatives_is_told() -> None:
    lines = list(estimate_lines(Estimate(forecast(60, 75, 90), items=1, chance=0.1), NOW))
    assert lines[0].startswith("1 item would end ")
    assert any("No single change" in line for line in lines)
