"""Rate limits in the headers of answers, and the odd values that stand there."""

import math
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.workload import Context, RateLimited
from batchyard_contracts.workload.rate_limit_headers import MAX_PAUSE_S, RemainingCalls, pause_s, remaining_calls

NOW = datetime(2026, 5, 16, 12, 0, 0, tzinfo=UTC)
AT = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "5"}, 5.0),
        ({"RETRY-AFTER": " 1.5 "}, 1.5),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "1e400"}, None),
        ({"Retry-After": "99999999999"}, MAX_PAUSE_S),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Sat, 16 May 2026 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Sat, 16 May 2026 12:00:30 -0000"}, 30.0),
        ({"Retry-After": "Saturday, 16-May-26 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Sat, 16 May 2026 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, MAX_PAUSE_S),
        ({"Retry-After": "Sat, 99 May 2026 99:00:30 GMT"}, None),
        ({"Retry-After": "Sat, 16 May 2020 12:00:30 GMT", "Date": "Sat, 16 May 2020 12:00:00 GMT"}, 30.0),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"retry-after-ms": "-1", "Retry-After": "3"}, 3.0),
        ({"retry-after-ms": "inf", "Retry-After": "3"}, 3.0),
        ({"Retry-After": "soon", "RateLimit": '"default";r=0;t=30'}, 30.0),
        ({"RateLimit": '"a";r=0;t=3, "b";r=0;t=60;pk=:c2Nvd2w=:, "c";r=5;t=900'}, 60.0),
        ({"RateLimit": '"a";r=0', "RateLimit-Policy": '"a";q=10;w=60'}, 60.0),
        ({"RateLimit": '"a";r=2;t=30'}, None),
        ({"RateLimit": '"a";r=0;t=999999999999999'}, MAX_PAUSE_S),
        ({"RateLimit": '"a";r=0;t=-3'}, None),
        ({"RateLimit": "nonsense;;;r=0;t=x"}, None),
        ({"RateLimit": "limit=10, remaining=0, reset=7"}, 7.0),
        ({"RateLimit": "limit=10, remaining=1, reset=7"}, None),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "12"}, 12.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(AT + 90)}, 90.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str((AT + 90) * 1000)}, 90.0),
        ({"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": str(AT - 90)}, 0.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2026-05-16T12:00:09Z"}, 9.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "6m0s"}, 360.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1m30.5s"}, 90.5),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "12ms"}, 0.012),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1.2.3s"}, None),
        ({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "90"}, None),
        ({"X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "90"}, None),
        ({"X-RateLimit-Reset": "1e300"}, MAX_PAUSE_S),
        ({"X-RateLimit-Reset": "inf"}, None),
        ({"X-RateLimit-Reset": "-7"}, 0.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, None),
    ],
)
def test_pauses_are_read_from_headers(headers: dict[str, str], seconds: float | None) -> None:
    found = pause_s(headers, NOW)
    assert found is seconds or found == pytest.approx(seconds)
    assert RateLimited.from_headers(headers, now=NOW).delay_s == found


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({}, None),
        ({"Retry-After": "5"}, None),
        ({"RateLimit": '"a";r=50;t=30'}, RemainingCalls(50, 30)),
        ({"RateLimit": '"day";r=900;t=7000, "burst";r=3;t=1'}, RemainingCalls(3, 1)),
        ({"RateLimit": '"a";r=3;t=1, "b";r=3;t=60'}, RemainingCalls(3, 60)),
        ({"RateLimit": '"a";r=3', "RateLimit-Policy": '"a";q=10;w=60'}, RemainingCalls(3, 60)),
        ({"RateLimit": '"a";r=3;t=9', "RateLimit-Policy": '"a";q=10;qu="content-bytes"'}, None),
        ({"RateLimit": '"a";r=0;t=9', "RateLimit-Policy": '"a";q=10;qu="content-bytes"'}, RemainingCalls(0, 9)),
        ({"RateLimit": '"a";r=3;t=9', "RateLimit-Policy": '"a";q=10;qu="requests"'}, RemainingCalls(3, 9)),
        ({"RateLimit": '"a";r=3;t=0'}, None),
        ({"RateLimit": "limit=10, remaining=1, reset=7"}, RemainingCalls(1, 7)),
        ({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "90"}, RemainingCalls(3, 90)),
        ({"X-RateLimit-Remaining": "3"}, None),
        ({"X-RateLimit-Remaining": "-3", "X-RateLimit-Reset": "90"}, None),
        ({"X-RateLimit-Remaining": "inf", "X-RateLimit-Reset": "90"}, None),
        ({"X-RateLimit-Remaining": "1e99", "X-RateLimit-Reset": "1e99"}, RemainingCalls(1_000_000_000, MAX_PAUSE_S)),
    ],
)
def test_remaining_calls_are_read_from_headers(headers: dict[str, str], left: RemainingCalls | None) -> None:
    assert remaining_calls(headers, NOW) == left


_NUMBERS = st.one_of(st.floats().map(str), st.integers().map(str), st.integers(-(10**40), 10**40).map("{}.0e9".format))
_ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-23, minutes=-59))])
_DATES = st.datetimes(timezones=_ZONES, min_value=datetime(1900, 1, 1))  # noqa: DTZ001  hypothesis adds the zone
_TEXT = st.one_of(
    st.text(max_size=40),
    _NUMBERS,
    st.datetimes().map(str),
    _DATES.map(format_datetime),
    st.builds("{}h{}m{}s".format, st.integers(), st.integers(), _NUMBERS),
    st.builds('"a";r={};t={}, "b";w={}'.format, _NUMBERS, _NUMBERS, _NUMBERS),
    st.builds("limit={}, remaining={}, reset={}".format, _NUMBERS, _NUMBERS, _NUMBERS),
    st.text(alphabet='";:=rt0, a', max_size=2000),
)
_NAMES = st.sampled_from(
    (
        "Retry-After",
        "retry-after-ms",
        "RateLimit",
        "RateLimit-Policy",
        "RateLimit-Remaining",
        "X-RateLimit-Reset",
        "X-RateLimit-Remaining",
        "X-Rate-Limit-Reset",
        "Date",
    )
)


@given(st.dictionaries(_NAMES, _TEXT))
def test_every_requested_pause_is_bounded(headers: dict[str, str]) -> None:
    seconds, left = pause_s(headers, NOW), remaining_calls(headers, NOW)
    assert seconds is None or (math.isfinite(seconds) and 0 <= seconds <= MAX_PAUSE_S)
    assert left is None or (left.calls >= 0 and 0 < left.reset_s <= MAX_PAUSE_S)


@given(_DATES)
def test_a_moment_that_has_passed_asks_for_nothing(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    said, passed = format_datetime(moment), moment <= NOW
    assert (pause_s({"Retry-After": said}, NOW) == 0.0) == passed
    left = remaining_calls({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": said}, NOW)
    assert (left is None) == passed


def test_a_handler_passes_on_what_is_left() -> None:
    reported: list[RemainingCalls] = []
    context = Context(UUID(int=1), 0, 1, 1, "", on_remaining=reported.append)
    context.report_headers({"Content-Type": "text/plain", "Retry-After": "5"}, NOW)
    context.report_headers({"RateLimit": '"a";r=3;t=9'}, NOW)
    for calls, reset_s in ((-1, 5.0), (1, 0.0), (1, math.inf), (1, math.nan), (0, 5.0), (7, 1e300)):
        context.report_remaining(calls, reset_s)
    assert reported == [RemainingCalls(3, 9), RemainingCalls(0, 5), RemainingCalls(7, MAX_PAUSE_S)]
    Context(UUID(int=1), 0, 1, 1, "").report_remaining(0, 5.0)  # nobody hears it
