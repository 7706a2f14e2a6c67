"""Schedules start each due time once, and make up for missed times by their rule."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from batchyard_contracts.v1.schedules import ScheduleForm
from services.ingest.domain.cron import Cron
from services.ingest.domain.schedule import (
    MAX_CAUGHT_UP,
    DueDecision,
    check_schedule,
    decide_due,
    jitter_of,
    next_time,
    preview,
    times_after,
    times_between,
)

ID = UUID(int=7)
NOW = datetime(2026, 11, 30, 12, 0, 30, tzinfo=UTC)


def form(cron: str = "0 * * * *", **fields: Any) -> ScheduleForm:
    return ScheduleForm(cron=cron, batch={"workload": "w"}, **fields)


def decide(since_h: float, **fields: Any) -> DueDecision:
    """Decide on an hourly schedule that nobody looked at for some hours."""
    return decide_due(ID, form(**fields), NOW.replace(second=0) - timedelta(hours=since_h), NOW)


def hours(decision: DueDecision) -> list[int]:
    return [run.nominal_at.hour for run in decision.runs]


def test_a_time_that_is_on_time_starts_and_the_next_one_follows() -> None:
    for missed in ("none", "one", "all"):
        decision = decide(0, missed=missed)
        assert (hours(decision), decision.missed) == ([12], None)
        assert decision.next_at == NOW.replace(hour=13, second=0)


@pytest.mark.parametrize(
    ("missed", "started", "lost"),
    [("none", [12], 5), ("one", [12], 5), ("all", [9, 10, 11, 12], 2)],
)
def test_missed_times_are_made_up_for_by_the_rule_within_the_window(missed: Any, started: list[int], lost: int) -> None:
    decision = decide(5, missed=missed, catch_up_s=3 * 3600 + 60)
    assert hours(decision) == started
    assert decision.missed is not None
    assert (decision.missed.first_at.hour, decision.missed.count) == (7, lost)


def test_a_time_that_is_not_on_time_is_missed_unless_it_is_made_up_for() -> None:
    late = NOW + timedelta(minutes=10)
    none = decide_due(ID, form(missed="none"), NOW.replace(second=0), late)
    assert (list(none.runs), none.missed and none.missed.count) == ([], 1)
    assert [run.nominal_at.hour for run in decide_due(ID, form(), NOW.replace(second=0), late).runs] == [12]


def test_a_long_outage_costs_a_bounded_number_of_runs() -> None:
    every_minute = form("* * * * *", missed="all", catch_up_s=7 * 86_400)
    decision = decide_due(ID, every_minute, NOW - timedelta(days=400), NOW)
    assert len(decision.runs) == MAX_CAUGHT_UP
    assert decision.runs[-1].nominal_at == NOW.replace(second=0)
    assert decision.missed is not None
    assert decision.missed.count == MAX_CAUGHT_UP


@given(
    since=st.integers(0, 3000),
    ticks=st.lists(st.integers(1, 400), max_size=8),
    missed=st.sampled_from(["none", "one", "all"]),
    catch_up_s=st.integers(60, 20_000),
    cron=st.sampled_from(["*/7 * * * *", "3 * * * *", "30 2 * * *"]),
)
def test_every_time_is_decided_once_whenever_somebody_looks(
    since: int, ticks: list[int], missed: Any, catch_up_s: int, cron: str
) -> None:
    schedule = form(cron, missed=missed, catch_up_s=catch_up_s, zone="Europe/Berlin")
    next_at = next_time(schedule, NOW - timedelta(minutes=since))
    assert next_at is not None
    started: list[datetime] = []
    decided, first, now = 0, next_at, NOW
    for tick in [0, *ticks]:
        now += timedelta(minutes=tick)
        if next_at > now:
            continue
        decision = decide_due(ID, schedule, next_at, now)
        started += [run.nominal_at for run in decision.runs]
        decided += len(decision.runs) + (decision.missed.count if decision.missed else 0)
        assert decision.next_at is not None
        assert decision.next_at > now
        next_at = decision.next_at
    assert all(one < other for one, other in pairwise(started))
    times = times_after(schedule, first - timedelta(seconds=1))
    assert decided == sum(1 for _ in takewhile(lambda at: at <= now, times))


def test_jitter_stays_the_same_and_ends_before_the_next_time() -> None:
    schedule = form("* * * * *", jitter_s=3600)
    delays = {jitter_of(ID, schedule, NOW, NOW + timedelta(seconds=60)) for _ in range(3)}
    assert len(delays) == 1
    times = [NOW + timedelta(minutes=number) for number in range(200)]
    found = [jitter_of(ID, schedule, at, at + timedelta(minutes=1)).total_seconds() for at in times]
    assert 0 <= min(found) < 5
    assert 55 < max(found) < 60
    assert jitter_of(ID, form(), NOW, None) == timedelta()


def test_start_and_end_bound_the_times() -> None:
    bounded = form(starts_at=NOW + timedelta(hours=2), ends_at=NOW + timedelta(hours=4))
    times = [each.at.hour for each in preview(bounded, NOW, 10)]
    assert times == [15, 16]
    assert next_time(bounded, NOW + timedelta(hours=5)) is None
    assert decide_due(ID, bounded, NOW.replace(hour=16, second=0), NOW + timedelta(hours=4)).next_at is None


def test_a_preview_marks_times_where_clocks_change() -> None:
    spring = datetime(2026, 3, 28, 12, tzinfo=UTC)
    moved, following = preview(form("30 2 * * *", zone="Europe/Berlin"), spring, 2)
    assert (moved.mark, f"{moved.local:%H:%M%z}", following.mark) == ("moved", "03:00+0200", None)
    autumn = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
    first, second, third = preview(form("30 * * * *", zone="Europe/Berlin"), autumn, 3)
    assert [(f"{each.local:%H:%M%z}", each.mark) for each in (first, second, third)] == [
        ("02:30+0200", "repeated"),
        ("02:30+0100", "repeated"),
        ("03:30+0100", None),
    ]


@pytest.mark.parametrize(("fields", "pointer"), [({"cron": "61 * * * *"}, "/cron"), ({"zone": "Mars/Base"}, "/zone")])
def test_a_wrong_expression_or_zone_is_named(fields: dict[str, str], pointer: str) -> None:
    rejection = check_schedule(form(**{"cron": "0 * * * *", **fields}))
    assert rejection is not None
    assert (rejection.code, rejection.pointer) == ("invalid_schedule", pointer)
    assert check_schedule(form()) is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"template": "t", "batch": {"workload": "w"}},
        {"batch": {"workload": "w"}, "parameters": {"a": 1}},
        {"template": "t", "starts_at": NOW, "ends_at": NOW},
    ],
)
def test_a_schedule_has_one_content_and_a_span(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScheduleForm(cron="0 * * * *", **fields)


def test_the_last_missed_time_is_named_also_when_more_were_missed_than_are_counted() -> None:
    missed = decide(24 * 365, missed="none").missed
    assert missed is not None
    assert (missed.count, missed.last_at) == (MAX_CAUGHT_UP, NOW.replace(hour=11, second=0))


def test_no_time_after_a_span_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    first, computed = NOW.replace(second=0), []

    def times(*_: object) -> Any:
        for hour in range(1000):
            computed.append(hour)
            yield first + timedelta(hours=hour)

    monkeypatch.setattr(Cron, "times", times)
    assert len(list(times_between(form(), first, first + timedelta(hours=2)))) == 3
    assert max(computed) == 3


@pytest.mark.parametrize("missed", ["none", "one", "all"])
def test_a_month_of_minutes_is_decided_on_without_computing_each(missed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    computed, times = 0, Cron.times

    def count(*arguments: Any) -> Any:
        nonlocal computed
        for at in times(*arguments):
            computed += 1
            yield at

    monkeypatch.setattr(Cron, "times", count)
    decision = decide(24 * 31, cron="* * * * *", missed=missed, catch_up_s=2_678_400)
    assert len(decision.runs) == (MAX_CAUGHT_UP if missed == "all" else 1)
    assert computed < 4 * MAX_CAUGHT_UP
