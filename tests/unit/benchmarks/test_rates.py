"""The shares that follow from the calls that a destination noted."""

import xml.etree.ElementTree as ET

from pydantic_core import to_json

from benchmarks.rates.destination import BASE_S, PATIENCE_S, CallQueue
from benchmarks.rates.plot import drawn
from benchmarks.rates.shares import Reached, answers_per_second, best, reached, steps
from benchmarks.rates.unbound import LIMIT_PER_S, OVERRIDE
from services.ingest.http.models import RatesRequest

SCHEDULE = ((10.0, 100.0), (10.0, 50.0))


def test_a_destination_answers_what_it_can_and_refuses_the_rest() -> None:
    partition = CallQueue([(10.0, 100.0), (10.0, 50.0)])
    for n in range(200 * 20):  # 200 a second
        partition.call(1000 + n / 200)
    found = reached(partition.calls, SCHEDULE)
    assert 0.99 < found.ideal_share <= 1.0
    assert 0.62 < found.refused_share < 0.63
    assert max(took for _, took in partition.calls if took is not None) <= BASE_S + PATIENCE_S + 0.001


def test_a_destination_at_ease_answers_at_once() -> None:
    partition = CallQueue([(0.0, 100.0)])
    assert {partition.call(7 + n / 50) for n in range(100)} == {BASE_S}
    assert partition.calls[:2] == [(0.0, BASE_S), (0.02, BASE_S)]


def test_only_calls_and_answers_within_the_time_count() -> None:
    found = reached([(0.0, 0.02), (1.0, None), (19.99, 0.02), (21.0, 0.02), (22.0, None)], SCHEDULE, 5.0)
    assert found == Reached(1 / 1500, 1 / 3, 5.0)


def test_the_best_fixed_limit_is_the_fastest_that_is_hardly_refused() -> None:
    slow, gentle, greedy = Reached(0.3, 0.0, 30), Reached(0.4, 0.009, 40), Reached(0.9, 0.3, 100)
    assert best([slow, gentle, greedy], Reached(0.9, 0.0)) is gentle
    assert best([slow, gentle, greedy], Reached(0.9, 0.4)) is greedy
    assert best([greedy, Reached(0.8, 0.2, 80)], Reached(0.9, 0.0)).per_second == 80


def test_the_plot_is_well_formed_and_shows_each_line() -> None:
    capacity = steps(SCHEDULE)
    assert capacity == [(0, 100), (10, 100), (10, 50), (20, 50)]
    answered = [(at + 0.5, float(n)) for at, n in enumerate(answers_per_second([(0.1, 0.02), (1.5, 0.6)], 3))]
    assert answered == [(0.5, 1), (1.5, 0), (2.5, 1)]
    root = ET.fromstring(drawn(capacity, answered, [(0.0, 10.0), (15.0, 49.0)], 50))
    assert sum(each.tag.endswith("polyline") for each in root.iter()) == 3
    assert "best fixed limit, 50/s" in "".join(root.itertext())


def test_the_limit_that_does_not_bind_is_a_valid_override() -> None:
    request = RatesRequest.decode(to_json(OVERRIDE))
    assert (request.partition, request.rate and request.rate.per_second) == ("", LIMIT_PER_S)
