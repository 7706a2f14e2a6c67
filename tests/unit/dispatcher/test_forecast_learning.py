"""Forecasts learn from the past: durations, the pace of the workers, and how wrong earlier forecasts were."""

import math
import random

import pytest

from services.dispatcher.domain.forecasting.calibration import Calibration, Interval
from services.dispatcher.domain.forecasting.score import Score, interval_loss, pinball
from services.dispatcher.domain.forecasting.service_times import ServiceTimes
from services.dispatcher.domain.forecasting.track_record import TrackRecord
from services.dispatcher.domain.forecasting.worker_pace import WorkerPace

SIMULATED = Interval(80.0, 100.0, 125.0)
KIND = ("w", "normal")


def test_durations_are_learned_by_partition() -> None:
    times = ServiceTimes()
    for _ in range(50):
        times.record("fast", 10, 1.0)
        times.record("slow", 1, 2.0)
    assert times.of("fast").mean_s == pytest.approx(0.1, rel=0.1)
    assert times.of("slow").mean_s == pytest.approx(2.0, rel=0.1)
    assert times.of("fast").outcomes > 400
    assert times.outcomes == 500


def test_a_partition_of_which_nothing_is_known_is_taken_to_be_like_the_others() -> None:
    times = ServiceTimes()
    times.record("known", 100, 50.0)
    assert times.of("new").mean_s == 0.5
    assert times.of("new").outcomes == 5


def test_the_deviation_is_that_of_items_not_of_reports() -> None:
    rng, times = random.Random(1), ServiceTimes()
    for _ in range(2000):
        times.record("p", 10, sum(rng.expovariate(1.0) for _ in range(10)))
    assert times.of("p").deviation_s == pytest.approx(1.0, rel=0.4)


def test_old_durations_are_forgotten() -> None:
    times = ServiceTimes()
    times.record("p", 500, 500.0)
    for _ in range(300):
        times.record("p", 10, 30.0)
    assert times.of("p").mean_s == pytest.approx(3.0, rel=0.05)


def test_the_share_of_items_that_run_again_is_learned_with_their_wait() -> None:
    times = ServiceTimes()
    for number in range(400):
        times.record("p", 1, 1.0, again=int(number % 4 == 0), again_s=8.0)
    assert times.of("p").again == pytest.approx(0.25, rel=0.1)
    assert times.of("p").again_s == pytest.approx(8.0)


def test_partitions_that_are_kept_are_bounded() -> None:
    times = ServiceTimes()
    for number in range(3000):
        times.record(f"p{number}", 1, 1.0)
    assert len(times._by_partition) == 1000


@pytest.mark.parametrize("busy_s", [-1.0, math.inf, 1e300])
def test_no_report_makes_the_durations_useless(busy_s: float) -> None:
    times, pace = ServiceTimes(), WorkerPace()
    times.record("p", 1, busy_s)
    times.record("p", 0, 1.0)
    pace.record(1, busy_s)
    assert 0 <= times.of("p").mean_s <= 86_400


def test_the_pace_of_busy_workers_is_learned() -> None:
    pace = WorkerPace()
    assert pace.slots(10)[0] == 10
    for second in range(120):
        pace.look(float(second), 10, 0.1, is_busy=True)
        pace.record(40, 4.0)
    assert pace.slots(10)[0] == pytest.approx(4.0, rel=0.05)
    pace.look(121.0, 20, 0.1, is_busy=True)
    assert pace.slots(20)[0] == pytest.approx(8.0, rel=0.2), "twice the workers manage twice as much"


def test_idle_workers_teach_nothing() -> None:
    pace = WorkerPace()
    for second in range(120):
        pace.look(float(second), 10, 0.1, is_busy=second % 2 == 0)
        pace.record(40, 4.0)
    assert pace.slots(10)[0] == 10


def test_long_items_are_awaited_before_the_pace_counts() -> None:
    pace = WorkerPace()
    for second in range(100):
        pace.look(float(second), 10, 60.0, is_busy=True)
    pace.record(100, 6000.0)
    assert pace.slots(10)[0] == 10


def test_calibration_makes_an_interval_hold_what_it_promises() -> None:
    """Ends come twice as late as simulated, and vary more than simulated."""
    rng, calibration = random.Random(2), Calibration()
    score = Score()
    for number in range(800):
        actual_s = 200.0 * math.exp(rng.gauss(0, 0.5))
        told = calibration.apply(SIMULATED)
        if number >= 200:
            score.add(told, actual_s, 100.0, actual_s)
        calibration.record(SIMULATED, actual_s)
    assert 0.87 <= score.share_under_p90 <= 0.93
    assert 0.76 <= score.share_inside <= 0.84
    assert score.gain > 0.3


@pytest.mark.parametrize("deviation", [0.05, 0.17, 0.5])
def test_calibration_holds_its_promise_after_thirty_ends(deviation: float) -> None:
    """Ends are closer to the simulation than it says, as close, or farther away."""
    score = Score()
    for seed in range(150):
        rng, calibration = random.Random(seed), Calibration()
        for number in range(40):
            actual_s = 100.0 * math.exp(rng.gauss(0, deviation))
            if number >= 30:
                score.add(calibration.apply(SIMULATED), actual_s, 100.0, actual_s)
            calibration.record(SIMULATED, actual_s)
    assert 0.77 <= score.share_inside <= 0.83
    assert 0.88 <= score.share_under_p90 <= 0.92


def test_without_a_past_the_simulation_is_believed() -> None:
    told = Calibration().apply(SIMULATED)
    assert told.p50 == pytest.approx(100)
    assert told.p10 == pytest.approx(80, rel=0.25)
    assert told.p90 == pytest.approx(125, rel=0.25)


def test_an_interval_stays_in_order_whatever_came_before() -> None:
    rng, calibration = random.Random(3), Calibration()
    for _ in range(300):
        calibration.record(Interval(*sorted(rng.uniform(0, 10) for _ in range(3))), rng.choice((0.0, 1e6)))
        told = calibration.apply(SIMULATED)
        assert 0 <= told.p10 <= told.p50 <= told.p90 < 1e9


def test_an_unknown_end_stays_unknown() -> None:
    never = Interval(1.0, math.inf, math.inf)
    assert Calibration().apply(never) == never
    assert not never.is_known


def test_pinball_loss_is_smallest_at_the_quantile() -> None:
    ends = [float(number) for number in range(1, 101)]
    losses = {told: sum(pinball(0.9, told, end) for end in ends) for told in (50.0, 80.0, 90.0, 99.0)}
    assert min(losses, key=losses.__getitem__) == 90.0
    assert interval_loss(Interval(5.0, 5.0, 5.0), 5.0) == 0


def test_a_forecast_is_scored_at_the_start_and_at_10_50_and_90_percent() -> None:
    record = TrackRecord()
    for now, left in enumerate((100, 95, 89, 60, 50, 30, 10, 1)):
        record.tell("b", KIND, SIMULATED, left, float(now))
    scored = {one.stage: (one.told.at, one.actual_s) for one in record.end("b", 20.0)}
    assert scored == {"start": (0.0, 20.0), "10": (2.0, 18.0), "50": (4.0, 16.0), "90": (6.0, 14.0)}
    assert record.end("b", 21.0) == [], "an end that is told twice counts once"


def test_the_linear_guess_is_the_time_so_far_in_proportion() -> None:
    record = TrackRecord()
    record.tell("b", KIND, SIMULATED, 100, 0.0)
    record.tell("b", KIND, SIMULATED, 50, 30.0)
    linear = {one.stage: one.told.linear_s for one in record.end("b", 60.0)}
    assert linear == {"start": None, "50": 30.0}


def test_a_batch_that_grew_or_was_changed_is_scored_anew() -> None:
    record = TrackRecord()
    record.tell("grown", KIND, SIMULATED, 10, 0.0)
    record.tell("grown", KIND, SIMULATED, 500, 5.0)
    assert [one.told.at for one in record.end("grown", 9.0)] == [5.0]
    record.tell("changed", KIND, SIMULATED, 10, 0.0)
    record.forget("changed")
    assert record.end("changed", 9.0) == []
    assert record.end("never told", 9.0) == []


def test_batches_of_one_kind_teach_each_other_and_no_others() -> None:
    record = TrackRecord()
    for number in range(100):
        record.tell(number, ("w", "low"), SIMULATED, 10, 0.0)
        record.end(number, 300.0)
    assert record.tell("next", ("w", "low"), SIMULATED, 10, 0.0).p50 == pytest.approx(300, rel=0.1)
    assert record.tell("other", KIND, SIMULATED, 10, 0.0).p50 == pytest.approx(100, rel=0.1)


def test_a_batch_that_grows_a_little_is_forecast_as_at_its_start() -> None:
    record, simulated = TrackRecord(), Interval(1.0, 2.0, 3.0)
    at_first = record.tell("batch", KIND, simulated, 100.0, 0.0)
    assert record.tell("batch", KIND, simulated, 101.0, 1.0) == at_first
