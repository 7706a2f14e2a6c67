"""Cron expressions follow the rules of Debian's cron, also on the days on which clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from services.ingest.domain.cron import Cron, is_repeated, is_skipped
from services.ingest.domain.time_zone import zone_names, zone_of

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
MARCH, OCTOBER = (BERLIN, "2026-03-29"), (BERLIN, "2026-10-25")
SPRING, AUTUMN = (NEW_YORK, "2026-03-08"), (NEW_YORK, "2026-11-01")
DAYS = (MARCH, OCTOBER, SPRING, AUTUMN)

CLOCK_CHANGES = {
    "30 2 * * *": ("03:00+02", "02:30+02", "03:00-04", "02:30-05"),
    "30 1 * * *": ("01:30+01", "01:30+02", "01:30-05", "01:30-04"),
    "0 0-3 * * *": (
        "00:00+01 01:00+01 03:00+02",
        "00:00+02 01:00+02 02:00+02 03:00+01",
        "00:00-05 01:00-05 03:00-04",
        "00:00-04 01:00-04 02:00-05 03:00-05",
    ),
    "30 1,2 * * *": ("01:30+01 03:00+02", "01:30+02 02:30+02", "01:30-05 03:00-04", "01:30-04 02:30-05"),
    "30 */2 * * *": (
        "00:30+01 04:30+02",
        "00:30+02 02:30+02 02:30+01 04:30+01",
        "00:30-05 04:30-04",
        "00:30-04 02:30-05 04:30-05",
    ),
    "0 * * * *": (
        "00:00+01 01:00+01 03:00+02 04:00+02",
        "00:00+02 01:00+02 02:00+02 02:00+01 03:00+01 04:00+01",
        "00:00-05 01:00-05 03:00-04 04:00-04",
        "00:00-04 01:00-04 01:00-05 02:00-05 03:00-05 04:00-05",
    ),
}
"""Times before five o'clock, of Berlin on 29 March and 25 October 2026, and of New York on 8 March and 1 November."""


@pytest.mark.parametrize("place", range(len(DAYS)), ids=["-".join(day) for day in DAYS])
@pytest.mark.parametrize("text", CLOCK_CHANGES)
def test_times_on_the_days_on_which_clocks_change(text: str, place: int) -> None:
    zone = zone_of(DAYS[place][0])
    begin = datetime.fromisoformat(DAYS[place][1]).replace(tzinfo=zone)
    found: list[str] = []
    for at in Cron.parse(text).times(begin.astimezone(UTC) - timedelta(seconds=1), zone):
        local = at.astimezone(zone)
        if local.date() != begin.date() or local.hour >= 5:
            break
        found.append(f"{local:%H:%M%z}"[:-2])
    assert " ".join(found) == CLOCK_CHANGES[text][place]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("0 0 */2 * MON", "2026-12-07 2026-12-21 2027-01-11"),
        ("0 0 13 * FRI", "2026-12-04 2026-12-11 2026-12-13"),
        ("0 0 L * *", "2026-12-31 2027-01-31 2027-02-28"),
        ("0 0 * * MON#2", "2026-12-14 2027-01-11 2027-02-08"),
        ("0 0 29 2 *", "2028-02-29 2032-02-29 2036-02-29"),
        ("0 0 * * 7", "2026-12-06 2026-12-13 2026-12-20"),
        ("0 0 1 jan,Jul *", "2027-01-01 2027-07-01 2028-01-01"),
        ("@monthly", "2026-12-01 2027-01-01 2027-02-01"),
    ],
)
def test_days_are_those_of_debians_cron(text: str, first: str) -> None:
    times = islice(Cron.parse(text).times(datetime(2026, 11, 30, tzinfo=UTC), zone_of("UTC")), 3)
    assert " ".join(f"{at:%Y-%m-%d}" for at in times) == first


def test_steps_and_lists() -> None:
    times = islice(Cron.parse("5/20,50 9-17/4 * * *").times(datetime(2026, 11, 30, tzinfo=UTC), zone_of("UTC")), 6)
    assert " ".join(f"{at:%H:%M}" for at in times) == "09:05 09:25 09:45 09:50 13:05 13:25"


@pytest.mark.parametrize(
    "text",
    [
        "", "* * * *", "0 * * * * *", "@reboot", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
        "*/0 * * * *", "5-1 * * * *", "a * * * *", "* * ? * *", "H * * * *", "0 0 31 2 *", "0 0 30 FEB *",
        "1,, * * * *", "٣ * * * *", "0 0 * * MON#6", "-1 * * * *", "0 0 L-3 * *",
    ],
)  # fmt: skip
def test_an_invalid_expression_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"fields|is no |no day"):
        Cron.parse(text)


def test_a_day_that_a_zone_skips_runs_right_after_it() -> None:
    zone = zone_of("Pacific/Apia")
    noon = Cron.parse("0 12 30 12 *").after(datetime(2011, 12, 29, tzinfo=UTC), zone)
    assert noon is not None
    assert f"{noon.astimezone(zone):%Y-%m-%d %H:%M}" == "2011-12-31 00:00"


def test_skipped_and_repeated_times_are_told_apart() -> None:
    zone = zone_of(BERLIN)
    skipped, repeated = datetime(2026, 3, 29, 2, 30, tzinfo=zone), datetime(2026, 10, 25, 2, 30, tzinfo=zone)
    assert (is_skipped(skipped), is_repeated(skipped)) == (True, False)
    assert (is_skipped(repeated), is_repeated(repeated)) == (False, True)
    assert not is_repeated(datetime(2026, 6, 1, tzinfo=zone))


def test_zones_come_from_the_package_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"UTC", BERLIN, NEW_YORK} <= zone_names()
    assert zone_of(BERLIN).key == BERLIN
    for name in ("Mars/Base", "../../etc/passwd", "", "europe/berlin"):
        with pytest.raises(ValueError, match="no time zone"):
            zone_of(name)
