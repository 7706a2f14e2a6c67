"""Responses to health probes."""

import aiohttp

from devstack import free_ports
from shared.observability import metrics
from shared.runtime.health import Health, HealthServer, Pulse


def test_a_stuck_loop_is_reported_and_a_stopped_one_is_not() -> None:
    health = Health()
    stuck, stopped = health.pulse("stuck", limit_s=0), health.pulse("stopped", limit_s=0)
    stuck.beat()
    stopped.beat()
    stopped.stop()
    assert health.stuck() == ["stuck"]
    assert health.pulse("stuck") is stuck
    assert Pulse("never begun", 0).is_alive


def test_liveness_may_depend_on_more_than_loops_and_numbers_are_shown() -> None:
    health, given_up = Health(), [1]
    health.add_liveness_check("handlers", lambda: len(given_up) < 3)
    health.add_count("handlers given up", lambda: len(given_up))
    assert (health.stuck(), health.counts()) == ([], {"handlers given up": 1})
    given_up += [2, 3]
    assert (health.stuck(), health.counts()) == (["handlers"], {"handlers given up": 3})


async def test_the_numbers_of_the_process_are_served_as_text() -> None:
    (port,) = free_ports(1)
    metrics.configure("test", otlp=False)
    metrics.counter("batchyard.tests.things", "Things.").add(3, {"workload": "noop"})
    server = HealthServer(Health(), "127.0.0.1", port)
    await server.start()
    try:
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain")
            lines = (await response.text()).splitlines()
    finally:
        await server.stop()
    (line,) = [line for line in lines if line.startswith("batchyard_tests_things_total{")]
    assert 'workload="noop"' in line
    assert line.endswith("} 3.0")
