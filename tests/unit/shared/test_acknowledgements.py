"""Acknowledgements: many messages together, none before it is done, and none of another channel."""

import asyncio
import itertools
from types import SimpleNamespace
from typing import cast

import pytest
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.acknowledgements import Acknowledgements
from tests.support.patience import until_true

MAX_BEHIND = 20


class FakeChannel:
    """Channel that knows which of its messages are left, as the broker does."""

    def __init__(self) -> None:
        self.is_closed = False
        self.left: list[int] = []
        self.returned: list[int] = []
        self.acknowledgements: list[tuple[int, bool]] = []
        self._tags = itertools.count(1)

    def deliver(self) -> AbstractIncomingMessage:
        tag = next(self._tags)
        self.left.append(tag)
        message = SimpleNamespace(delivery_tag=tag, type="x", channel=self)

        async def ack(multiple: bool = False) -> None:
            if self.is_closed:
                raise ChannelInvalidStateError
            assert tag in self.left, "the broker closes the channel for a tag that it does not know"
            self.acknowledgements.append((tag, multiple))
            self.left = [other for other in self.left if other > tag or (other < tag and not multiple)]

        async def nack(requeue: bool) -> None:
            assert requeue
            await asyncio.sleep(0)
            self.left.remove(tag)
            self.returned.append(tag)

        message.ack, message.nack = ack, nack
        return cast("AbstractIncomingMessage", message)


def received(channel: FakeChannel, count: int) -> tuple[Acknowledgements, list[AbstractIncomingMessage]]:
    acknowledgements, messages = Acknowledgements(MAX_BEHIND), [channel.deliver() for _ in range(count)]
    for message in messages:
        acknowledgements.receive(message)
    return acknowledgements, messages


async def until_sent(channel: FakeChannel, count: int = 1) -> None:
    await until_true(lambda: len(channel.acknowledgements) >= count)


async def test_messages_that_are_done_together_take_one_acknowledgement() -> None:
    channel = FakeChannel()
    acknowledgements, messages = received(channel, 100)
    for message in messages:
        acknowledgements.add(message)
    await until_sent(channel)
    assert (channel.acknowledgements, channel.left) == ([(100, True)], [])


async def test_a_message_in_hand_is_covered_by_none() -> None:
    channel = FakeChannel()
    acknowledgements, (first, *others) = received(channel, 4)
    for message in others[:-1]:
        acknowledgements.add(message)
    await acknowledgements.flush()
    assert (channel.acknowledgements, channel.left) == ([(2, False), (3, False)], [1, 4])
    acknowledgements.add(first)
    await until_sent(channel, 3)
    assert channel.left == [4]


async def test_one_that_takes_long_keeps_little_room() -> None:
    channel = FakeChannel()
    acknowledgements, (_, *others) = received(channel, MAX_BEHIND + 2)
    for message in others:
        acknowledgements.add(message)
    await until_sent(channel, MAX_BEHIND + 1)
    assert channel.left == [1]


async def test_messages_of_a_lost_channel_are_forgotten() -> None:
    lost, channel = FakeChannel(), FakeChannel()
    acknowledgements, (old, other) = received(lost, 2)
    acknowledgements.add(other)
    lost.is_closed = True
    new = channel.deliver()
    acknowledgements.receive(new)
    acknowledgements.add(old)
    await acknowledgements.flush()
    assert channel.left == [1]
    acknowledgements.add(new)
    await acknowledgements.flush()
    assert (channel.left, lost.acknowledgements) == ([], [])


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)))
def test_in_any_order_what_is_done_is_acknowledged_and_what_is_given_back_comes_again(
    order: list[int], given_back: set[int], flushed_after: set[int]
) -> None:
    async def run() -> None:
        channel = FakeChannel()
        acknowledgements, messages = received(channel, 12)
        for number in order:
            if number in given_back:
                returning = asyncio.create_task(acknowledgements.give_back(messages[number]))
                await acknowledgements.flush()
                await returning
            else:
                acknowledgements.add(messages[number])
            if number in flushed_after:
                await acknowledgements.flush()
        await acknowledgements.flush()
        assert not channel.left
        assert set(channel.returned) == {number + 1 for number in given_back}

    asyncio.run(run())


@pytest.mark.parametrize("count", [0, 1])
async def test_flushing_without_anything_done_sends_nothing(count: int) -> None:
    channel = FakeChannel()
    acknowledgements, _ = received(channel, count)
    await acknowledgements.flush()
    assert not channel.acknowledgements
