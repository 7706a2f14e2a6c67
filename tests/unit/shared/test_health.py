"""What probes are told."""

from shared.health import Health, Pulse


def test_a_loop_that_stops_is_told_and_one_that_rests_is_not() -> None:
    health = Health()
    stopped, resting = health.pulse("stopped", limit_s=0), health.pulse("resting", limit_s=0)
    stopped.beat()
    resting.beat()
    resting.rest()
    assert health.stuck() == ["stopped"]
    assert health.pulse("stopped") is stopped
    assert Pulse("never begun", 0).alive


def test_liveness_may_depend_on_more_than_loops_and_numbers_are_shown() -> None:
    health, given_up = Health(), [1]
    health.alive_while("handlers", lambda: len(given_up) < 3)
    health.count("handlers given up", lambda: len(given_up))
    assert (health.stuck(), health.counts()) == ([], {"handlers given up": 1})
    given_up += [2, 3]
    assert (health.stuck(), health.counts()) == (["handlers"], {"handlers given up": 3})
