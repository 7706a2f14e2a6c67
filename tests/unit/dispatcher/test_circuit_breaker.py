"""A circuit breaker probes a refusing provider with single items until one is accepted."""

from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.manifest import CircuitRule
from batchyard_contracts.v1.values import ItemError
from services.dispatcher.domain.rate_limiting.circuit_breaker import AT_FAULT, CircuitBreaker

RULE = CircuitRule(base_s=5, cap_s=15, give_up_s=100)
CAPTCHA = ItemError(code="captcha", scope="provider")


def test_items_flow_until_the_provider_refuses() -> None:
    circuit = CircuitBreaker()
    assert circuit.allowed(100, 50, 0.0) == 100
    assert circuit.record_refusal(CAPTCHA, RULE, 1.0)
    assert not circuit.record_refusal(CAPTCHA, RULE, 1.5), "those that were out say nothing new"
    assert circuit.allowed(100, 0, 5.9) == 0


def test_open_circuit_is_probed_when_all_other_items_are_back() -> None:
    circuit = CircuitBreaker()
    circuit.record_refusal(CAPTCHA, RULE, 0.0)
    assert circuit.allowed(100, 3, 6.0) == 0
    assert circuit.allowed(100, 0, 6.0) == 1
    circuit.record_dispatched()
    assert circuit.allowed(100, 1, 7.0) == 0
    assert circuit.record_success()
    assert circuit.allowed(100, 0, 7.0) == 100


def test_failed_probe_doubles_the_pause_up_to_its_cap() -> None:
    circuit, now, pauses = CircuitBreaker(), 0.0, []
    for _ in range(4):
        assert circuit.record_refusal(CAPTCHA, RULE, now)
        pauses.append(circuit.next_probe_at - now)
        now = circuit.next_probe_at
        circuit.record_dispatched()
    assert pauses == [5, 10, 15, 15]


def test_item_in_flight_before_the_opening_does_not_close_the_circuit() -> None:
    circuit = CircuitBreaker()
    circuit.record_refusal(CAPTCHA, RULE, 0.0)
    assert not circuit.record_success()
    assert circuit.state == "open"


def test_probe_without_an_answer_is_repeated() -> None:
    circuit = CircuitBreaker()
    circuit.record_refusal(CAPTCHA, RULE, 0.0)
    circuit.record_dispatched()
    circuit.record_no_answer()
    assert circuit.allowed(100, 0, 6.0) == 1


def test_provider_is_given_up_once_in_each_give_up_time() -> None:
    circuit = CircuitBreaker()
    circuit.record_refusal(CAPTCHA, RULE, 0.0)
    assert not circuit.take_give_up(RULE, 99.0)
    assert circuit.take_give_up(RULE, 100.0)
    assert not circuit.take_give_up(RULE, 150.0)
    assert circuit.take_give_up(RULE, 200.0)
    circuit.close()
    assert not circuit.take_give_up(RULE, 500.0)


def test_refused_item_is_remembered_with_the_number_of_times_that_the_circuit_was_closed() -> None:
    circuit = CircuitBreaker()
    assert circuit.refused_at("one") is None
    circuit.record_item_refusal("one", at_fault=False)
    circuit.close()
    circuit.record_item_refusal("another", at_fault=False)
    assert (circuit.refused_at("one"), circuit.refused_at("another")) == (0, 1)
    circuit.record_item_refusal("one", at_fault=True)
    assert circuit.refused_at("one") == AT_FAULT


def test_oldest_refused_item_is_forgotten_above_ten_thousand() -> None:
    circuit = CircuitBreaker()
    for item in (*range(10_000), 0, 10_000):
        circuit.record_item_refusal(item, at_fault=False)
    assert [circuit.refused_at(item) for item in (0, 1, 2, 10_000)] == [0, None, 0, 0]


@given(st.lists(st.sampled_from(["refused", "answered", "sent", "returned", "later"]), max_size=40))
def test_at_most_one_item_is_in_flight_while_the_circuit_is_not_closed(steps: list[str]) -> None:
    """In any order of refusals, answers and returns, there is never a second probe in flight."""
    circuit, now, out = CircuitBreaker(), 0.0, 0
    circuit.record_refusal(CAPTCHA, RULE, now)
    for step in steps:
        if step == "refused":
            circuit.record_refusal(CAPTCHA, RULE, now)
        elif step == "answered" and circuit.record_success():
            return
        elif step == "sent" and circuit.allowed(50, out, now):
            circuit.record_dispatched()
            out += 1
        elif step == "returned" and out:
            out = 0
            circuit.record_no_answer()
        elif step == "later":
            now = circuit.next_probe_at
        assert out <= 1
        assert circuit.allowed(50, out, circuit.next_probe_at) == (1 if circuit.state == "open" and out == 0 else 0)
        assert 0.0 <= circuit.next_probe_at - now <= RULE.cap_s
