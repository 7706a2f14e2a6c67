"""Whom to tell, and under which ids."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.domain.delivery import Target, deliveries, targets_of, webhook_id

BATCH = UUID("01935f2e-5b7c-7a10-8000-000000000001")
TARGETS = targets_of(["https://a.example/x", "https://b.example/"], ["ann@a.example"])


def test_each_target_once() -> None:
    assert targets_of(["http://a/", "http://b/", "http://a/"], ["x@y", "x@y"]) == (
        Target("webhook", "http://a/"),
        Target("webhook", "http://b/"),
        Target("email", "x@y"),
    )


def test_the_ids_of_a_round_are_the_same_again_and_differ_from_all_others() -> None:
    first = [delivery.id for delivery in deliveries(BATCH, 1, TARGETS)]
    again = [delivery.id for delivery in deliveries(BATCH, 1, TARGETS)]
    second = [delivery.id for delivery in deliveries(BATCH, 2, TARGETS)]
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
def test_what_limits_count(target: Target, destination: str) -> None:
    assert target.destination == destination


@given(st.text(min_size=1))
def test_control_characters_never_stay_and_make_a_target_invalid(text: str) -> None:
    for target in targets_of([text], [text]):
        assert target.valid == (target.address == text and "\ufffd" not in text)
        assert "\x00" not in target.address
        assert len(target.address.splitlines()) <= 1
        assert isinstance(target.destination, str)
