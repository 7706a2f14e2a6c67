"""Messages of many tasks leave together while earlier ones are on their way, and none waits without need."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from batchyard_contracts import topology
from batchyard_contracts.message import MAX_MESSAGE_BYTES
from shared.messaging import gathering_publisher
from shared.messaging.gathering_publisher import GatheringPublisher
from shared.messaging.publisher import OutgoingMessage, Publisher, check_sendable
from shared.runtime.errors import MessageRejected, PublishFailed


class SlowPublisher:
    """Publisher whose broker confirms when the test says so; what can never be sent it refuses at once."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.error: Exception | None = None
        self.confirms = asyncio.Event()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        for message in messages:
            check_sendable(message)
        self.calls.append([message.body for message in messages])
        await self.confirms.wait()
        if self.error is not None:
            raise self.error


def message(body: bytes) -> OutgoingMessage:
    return OutgoingMessage(topology.FLOW, "chunk.processed.v1", "chunk.processed.v1", body)


def publish(gathering: GatheringPublisher, *bodies: bytes) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(gathering.publish([message(body)])) for body in bodies]


async def turns() -> None:
    """Let everything go on that waits for no event."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowPublisher:
    monkeypatch.setattr(gathering_publisher, "_MAX_IN_PROGRESS", 1)
    return SlowPublisher()


async def test_messages_gather_while_others_await_their_confirm(slow: SlowPublisher) -> None:
    gathering = GatheringPublisher(cast("Publisher", slow))
    first = publish(gathering, b"1")
    await turns()
    later = publish(gathering, b"2", b"3")
    await turns()
    assert slow.calls == [[b"1"]]
    slow.confirms.set()
    await asyncio.gather(*first, *later)
    assert slow.calls == [[b"1"], [b"2", b"3"]]


async def test_messages_of_one_moment_leave_together(slow: SlowPublisher) -> None:
    slow.confirms.set()
    await asyncio.gather(*publish(GatheringPublisher(cast("Publisher", slow)), b"1", b"2", b"3"))
    assert slow.calls == [[b"1", b"2", b"3"]]


async def test_nobody_returns_before_the_confirm(slow: SlowPublisher) -> None:
    (waiting,) = publish(GatheringPublisher(cast("Publisher", slow)), b"1")
    await turns()
    assert not waiting.done()
    slow.confirms.set()
    await waiting


async def test_a_failure_reaches_everybody_who_has_published(slow: SlowPublisher) -> None:
    slow.error = PublishFailed("away")
    slow.confirms.set()
    gathering = GatheringPublisher(cast("Publisher", slow))
    results = await asyncio.gather(*publish(gathering, b"1", b"2"), return_exceptions=True)
    assert [type(result) for result in results] == [PublishFailed, PublishFailed]
    slow.error = None
    await asyncio.gather(*publish(gathering, b"1", b"2"))
    assert slow.calls == [[b"1", b"2"], [b"1", b"2"]]


async def test_a_message_that_is_too_large_fails_alone(slow: SlowPublisher) -> None:
    slow.confirms.set()
    large, small = publish(GatheringPublisher(cast("Publisher", slow)), b"x" * (MAX_MESSAGE_BYTES + 1), b"1")
    await small
    with pytest.raises(MessageRejected):
        await large
    assert slow.calls == [[b"1"]]


async def test_a_caller_that_gives_up_stops_no_other(slow: SlowPublisher) -> None:
    first, second = publish(GatheringPublisher(cast("Publisher", slow)), b"1", b"2")
    await turns()
    first.cancel()
    await turns()
    slow.confirms.set()
    await second
    assert first.cancelled()
