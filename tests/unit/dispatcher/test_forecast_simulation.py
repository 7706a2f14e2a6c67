"""The simulation of batches, held against ends that can be computed by hand."""

from dataclasses import replace

import numpy as np
import pytest

from services.dispatcher.domain.forecasting.fair_rates import Shares, fair_rates
from services.dispatcher.domain.forecasting.load import BatchLoad, LimitLoad, Service, Strand, WorkloadLoad
from services.dispatcher.domain.forecasting.simulation import BatchEnd, simulate
from tests.support.steps import value_of

STEADY = Service(mean_s=1.0, deviation_s=0.0, outcomes=500)
LIMIT = LimitLoad("rate_limit", "The rate of x.", 2.0, key="partition:x")


def ends_of(load: WorkloadLoad) -> list[BatchEnd]:
    return value_of(simulate(load, seed=1))


def load_of(
    *strands: Strand, slots: float = 10, batches: int = 1, limits: tuple[LimitLoad, ...] = (), spread: float = 0.0
) -> WorkloadLoad:
    return WorkloadLoad(slots, (BatchLoad("o"),) * batches, strands, limits, spread)


def rates_of(load: WorkloadLoad) -> list[float]:
    shares = Shares.of(load)
    seconds = np.array([[strand.service.mean_s for strand in load.strands]])
    limits = [load.limits[place] for place in shares.places]
    values = [load.slots, *(x.per_second if x.per_second is not None else x.concurrency or 0.0 for x in limits)]
    active = np.ones_like(seconds, dtype=bool)
    rates, _ = value_of(
        fair_rates(shares, active, seconds, np.array([values], dtype=float), np.full_like(seconds, 1e9))
    )
    return [round(float(rate), 3) for rate in rates[0]]


def test_a_batch_alone_takes_its_work_divided_by_the_slots() -> None:
    (end,) = ends_of(load_of(Strand(0, 1000, STEADY, running=10)))
    assert end.quantile(0.5) == pytest.approx(100, rel=0.02)
    assert end.quantile(0.1) <= end.quantile(0.5) <= end.quantile(0.9)
    assert end.reason[0] == "workers_busy"


def test_few_items_take_as_long_as_one_of_them() -> None:
    (end,) = ends_of(load_of(Strand(0, 3, STEADY)))
    assert end.quantile(0.5) == pytest.approx(1.0, rel=0.5)
    assert end.reason[0] == "items_running"


def test_a_rate_binds_where_it_is_slower_than_the_workers() -> None:
    (end,) = ends_of(load_of(Strand(0, 100, STEADY, limits=(0,), running=2), limits=(LIMIT,)))
    assert end.quantile(0.5) == pytest.approx(50, rel=0.05)
    assert (end.limit, end.reason) == (0, ("rate_limit", "The rate of x."))


def test_a_concurrency_binds_like_a_rate() -> None:
    limit = LimitLoad("concurrency_limit", "x allows 4.", None, 4)
    (end,) = ends_of(load_of(Strand(0, 100, STEADY, limits=(0,), running=4), limits=(limit,)))
    assert end.quantile(0.5) == pytest.approx(25, rel=0.1)
    assert end.reason[0] == "concurrency_limit"


def test_two_batches_share_the_slots_and_the_longer_one_has_them_alone_afterwards() -> None:
    short, long = ends_of(load_of(Strand(0, 100, STEADY, running=5), Strand(1, 300, STEADY, running=5), batches=2))
    assert short.quantile(0.5) == pytest.approx(20, rel=0.1)
    assert long.quantile(0.5) == pytest.approx(40, rel=0.1)


def test_weights_of_batches_and_owners_are_observed() -> None:
    load = load_of(Strand(0, 1e3, STEADY), Strand(1, 1e3, STEADY), batches=2)
    heavy = (replace(load.batches[0], weight=3), load.batches[1])
    assert rates_of(replace(load, batches=heavy)) == [7.5, 2.5]
    owners = (BatchLoad("a", owner_weight=4), BatchLoad("b"))
    assert rates_of(replace(load, batches=owners)) == [8.0, 2.0]


def test_batches_of_one_owner_share_what_the_owner_gets() -> None:
    load = load_of(*(Strand(number, 1e3, STEADY) for number in range(3)), slots=12, batches=3)
    owners = (BatchLoad("a"), BatchLoad("a"), BatchLoad("b"))
    assert rates_of(replace(load, batches=owners)) == [3.0, 3.0, 6.0]


def test_a_higher_priority_goes_first_and_low_has_its_twentieth() -> None:
    load = load_of(Strand(0, 1e3, STEADY), Strand(1, 1e3, STEADY), batches=2)
    first, second = rates_of(replace(load, batches=(BatchLoad("o", rank=0), BatchLoad("o", rank=1))))
    assert first > 9.9
    assert second < 0.1
    assert rates_of(replace(load, batches=(BatchLoad("o", rank=1), BatchLoad("o", rank=2)))) == [9.5, 0.5]


def test_a_share_that_one_strand_may_not_use_goes_to_the_others() -> None:
    load = load_of(Strand(0, 1e3, STEADY, limits=(0,)), Strand(1, 1e3, STEADY), batches=2, limits=(LIMIT,))
    assert rates_of(load) == [2.0, 8.0]


def test_a_limit_that_two_batches_share_slows_both() -> None:
    strands = (Strand(0, 100, STEADY, limits=(0,), running=1), Strand(1, 100, STEADY, limits=(0,), running=1))
    one, other = ends_of(load_of(*strands, batches=2, limits=(LIMIT,)))
    assert one.quantile(0.5) == pytest.approx(100, rel=0.05) == pytest.approx(other.quantile(0.5), rel=0.05)


def test_items_run_no_earlier_than_they_are_due_which_is_the_reason() -> None:
    held = ("retry_due_later", "Items wait to be tried again.")
    (end,) = ends_of(load_of(Strand(0, 5, STEADY), Strand(0, 1, STEADY, ready_s=60, held=held)))
    assert end.quantile(0.1) >= 60
    assert end.quantile(0.9) < 65
    assert end.reason == held


def test_items_that_run_again_make_the_end_later() -> None:
    (once,) = ends_of(load_of(Strand(0, 1000, STEADY, running=10)))
    again = replace(STEADY, again=0.5, again_s=5.0)
    (twice,) = ends_of(load_of(Strand(0, 1000, again, running=10)))
    assert twice.quantile(0.5) > 2 * once.quantile(0.5) + 5


def test_little_knowledge_makes_a_wide_interval() -> None:
    def width(service: Service, spread: float = 0.0) -> float:
        (end,) = ends_of(load_of(Strand(0, 10_000, service, running=10), spread=spread))
        return end.quantile(0.9) / end.quantile(0.1)

    unsure = Service(1.0, 1.0, outcomes=5)
    assert width(replace(unsure, outcomes=500)) < width(unsure) < width(unsure, spread=1.0)


def test_uneven_items_make_a_long_tail() -> None:
    uneven = Service(1.0, 2.0, outcomes=500)
    (even_end,), (uneven_end,) = ends_of(load_of(Strand(0, 30, STEADY))), ends_of(load_of(Strand(0, 30, uneven)))
    assert uneven_end.quantile(0.5) > 1.3 * even_end.quantile(0.5)


def test_a_batch_that_nothing_lets_run_has_no_end() -> None:
    never = replace(LIMIT, per_second=0.0)
    (end,) = ends_of(load_of(Strand(0, 10, STEADY, limits=(0,)), limits=(never,)))
    assert end.quantile(0.9) == np.inf


def test_a_workload_without_items_ends_at_once() -> None:
    assert [end.quantile(0.9) for end in ends_of(load_of(batches=2))] == [0.0, 0.0]


def test_the_same_seed_gives_the_same_ends() -> None:
    load = load_of(Strand(0, 50, Service(1.0, 1.0, 20)))
    assert ends_of(load)[0].seconds.tolist() == ends_of(load)[0].seconds.tolist()
