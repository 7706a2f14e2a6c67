"""Quotas of senders: of messages, of bytes, by period, in bounded memory."""

import pytest

from shared.messaging import sender_quota
from shared.messaging.sender_quota import SenderQuota


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_sender_has_a_quota_of_messages_in_each_period() -> None:
    clock = Clock()
    quota = SenderQuota(2, 60, clock=clock)
    assert [quota.take("ann") for _ in range(3)] == [True, True, False]
    assert quota.used_up_for_s("ann") == 60
    assert quota.used_up_for_s("bob") is None
    assert quota.take("bob")
    clock.now += 59
    assert quota.used_up_for_s("ann") == 1
    clock.now += 1
    assert quota.used_up_for_s("ann") is None
    assert quota.take("ann")


def test_a_quota_of_bytes_may_be_exceeded_by_the_last_message_alone() -> None:
    quota = SenderQuota(10, 60, size=100)
    assert [quota.take("ann", 99), quota.take("ann", 1000), quota.take("ann", 0)] == [True, True, False]
    assert quota.used_up_for_s("ann") is not None


def test_a_sender_who_goes_on_has_a_part_of_its_quota_until_it_stops() -> None:
    clock = Clock()
    quota = SenderQuota(32, 6, reduces=True, clock=clock)

    def taken(sender: str, wanted: int = 100) -> int:
        return sum(quota.take(sender) for _ in range(wanted))

    found = []
    for _ in range(4):
        found.append(taken("ann"))
        clock.now += 6
    assert found == [32, 2, 2, 2]
    assert taken("bob") == 32, "another sender is not concerned"
    assert taken("ann", 1) == 1
    clock.now += 6
    assert taken("ann") == 32, "something was left of it in the last period"
    clock.now += 12
    assert taken("ann") == 32, "a period has passed without a message"


def test_senders_beyond_the_bound_share_one_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_quota, "MAX_SENDERS", 3)
    quota = SenderQuota(2, 60)
    for name in ("a", "b", "c"):
        assert quota.take(name)
    assert [quota.take(f"new{number}") for number in range(4)] == [True, True, False, False]
    assert quota.take("a"), "those that were there keep theirs"
    assert len(quota._used) == 4
