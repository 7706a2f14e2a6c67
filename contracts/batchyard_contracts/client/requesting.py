"""Functions by which parts of the client send queries and commands, and check their replies."""

from collections.abc import AsyncIterator, Awaitable
from typing import Protocol, TypeVar

from batchyard_contracts.client.errors import QueryRefused
from batchyard_contracts.message import Command, Message

ReplyT = TypeVar("ReplyT", bound=Message)


class SendQuery(Protocol):
    """Sends a query, and returns its reply."""

    def __call__(self, query: Message, reply_type: type[ReplyT], /) -> Awaitable[ReplyT]: ...


class SendCommand(Protocol):
    """Sends a command, and returns its reply; raises the errors of `Client.send`."""

    def __call__(self, command: Command, /) -> Awaitable[Message]: ...


async def pages(send: SendQuery, query: Message, reply_type: type[ReplyT], cursor: str) -> AsyncIterator[ReplyT]:
    """Yield the replies to a query until one has no `next_<cursor>`, which the next query has as its `cursor`."""
    while True:
        reply = await send(query, reply_type)
        yield reply
        following = getattr(reply, f"next_{cursor}")
        if following is None:
            return
        query = query.model_copy(update={cursor: following})


def expect(reply: Message, kind: type[ReplyT]) -> ReplyT:
    """Return a reply of this type; raises `QueryRefused` for another one."""
    if not isinstance(reply, kind):
        raise QueryRefused("unexpected_reply", f"Expected {kind.type}, got {reply.type}.")
    return reply
