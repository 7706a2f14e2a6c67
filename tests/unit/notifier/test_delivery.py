"""Tests of the targets of a batch and the ids of their deliveries."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.v1.events import BatchStuck, CircuitChanged
from batchyard_contracts.v1.values import ItemError
from services.notifier.domain.delivery import Target, alert_id, deliveries_for, stuck_alert_id, targets_of, webhook_id

BATCH = UUID("01935f2e-5b7c-7a10-8000-000000000001")
AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
TARGETS = targets_of(["https://a.example/x", "https://b.example/"], ["ann@a.example"])


def test_targets_are_distinct() -> None:
    assert targets_of(["http://a/", "http://b/", "http://a/"], ["x@y", "x@y"]) == (
        Target("webhook", "http://a/"),
        Target("webhook", "http://b/"),
        Target("email", "x@y"),
    )


def test_delivery_ids_are_stable_and_unique_per_round_and_target() -> None:
    first = [delivery.id for delivery in deliveries_for(BATCH, 1, TARGETS)]
    again = [delivery.id for delivery in deliveries_for(BATCH, 1, TARGETS)]
    second = [delivery.id for delivery in deliveries_for(BATCH, 2, TARGETS)]
    assert first == again
    assert len({*first, *second}) == 6


def test_the_webhook_id_names_the_event() -> None:
    assert webhook_id(BATCH, 3) == "msg_01935f2e5b7c7a108000000000000001_3"


@pytest.mark.parametrize(
    ("target", "destination"),
    [
        (Target("webhook", "https://User:pw@Hooks.Example:8443/x?token=1"), "hooks.example"),
        (Target("webhook", "http://[::1]:80/"), "::1"),
        (Target("webhook", "http://[::1"), ""),
        (Target("webhook", "http://"), ""),
        (Target("email", "ann@a.example"), "mail"),
    ],
)
def test_destination_is_the_host_or_mail(target: Target, destination: str) -> None:
    assert target.destination == destination


@given(st.text(min_size=1))
def test_control_characters_are_replaced_and_make_a_target_invalid(text: str) -> None:
    for target in targets_of([text], [text]):
        assert target.is_valid == (target.address == text and "\ufffd" not in text)
        assert "\x00" not in target.address
        assert len(target.address.splitlines()) <= 1
        assert isinstance(target.destination, str)


def circuit(state: str = "open", **fields: object) -> CircuitChanged:
    said = {"workload": "w", "owner": "all", "limit": "partition", "partition": "a.example", "state": state, "at": AT}
    return CircuitChanged.model_validate(said | fields)


def test_an_alert_keeps_its_id_as_long_as_the_circuit_is_not_closed() -> None:
    since = AT - timedelta(hours=1)
    events = [circuit(since=since), circuit("half_open", since=since, at=AT + timedelta(minutes=5))]
    events.append(circuit(since=since, error=ItemError(code="captcha"), at=AT + timedelta(minutes=9)))
    assert len({alert_id(event) for event in events}) == 1


def test_alerts_of_other_circuits_and_of_later_times_have_other_ids() -> None:
    others = [
        circuit(since=AT),
        circuit(since=AT + timedelta(seconds=1)),
        circuit(since=AT, workload="v"),
        circuit(since=AT, limit="account"),
        circuit(since=AT, partition="b.example"),
    ]
    assert len({alert_id(event) for event in others}) == 5


def test_a_round_that_is_stuck_has_one_alert() -> None:
    fields = {"workload": "w", "owner": "o", "batch_id": BATCH, "counts": {}, "since": AT, "at": AT}
    reason = {"code": "stuck", "detail": ""}
    events = [BatchStuck.model_validate(fields | {"round": round_, "reason": reason}) for round_ in (1, 1, 2)]
    assert len({stuck_alert_id(event) for event in events}) == 2


def test_an_alert_without_a_start_time_uses_the_time_of_the_event() -> None:
    assert alert_id(circuit()) == alert_id(circuit(since=AT, at=AT + timedelta(days=1)))
    assert alert_id(circuit()) != alert_id(circuit(at=AT + timedelta(seconds=1)))
