"""Submissions that come together are committed and published together, and each succeeds or fails alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from batchyard_contracts.v1.flow import BatchAccepted
from batchyard_contracts.v1.values import Notifications, Reuse, Terms
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.pager import EncodedMessage
from services.ingest.submission import group_commit
from services.ingest.submission.group_commit import GroupCommit
from shared.observability.telemetry import span, traceparent
from shared.postgres.outbox import OutboxMessage

Submission = tuple[BatchHeader, Sequence[OutboxMessage]]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CUT = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")


class Server:
    """A store and an outbox. Each commit waits for `go`; what `refuse` raises for a group fails its commit."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun: list[list[UUID]] = []
        """Groups whose commit has begun."""
        self.published: list[list[bytes]] = []
        self.traces: list[str | None] = []
        """Trace context of each publish."""
        self.taken: set[UUID] = set()
        self.refused: dict[UUID, Exception] = {}

    async def insert(self, group: Sequence[Submission]) -> list[list[OutboxMessage] | None]:
        self.begun.append([header.batch_id for header, _ in group])
        await self.go.wait()
        for header, _ in group:
            if header.batch_id in self.refused:
                raise self.refused[header.batch_id]
        return [
            None if header.batch_id in self.taken else [replace(message, id=1) for message in messages]
            for header, messages in group
        ]

    async def deliver(self, messages: Sequence[OutboxMessage]) -> None:
        self.traces.append(traceparent())
        self.published.append([message.body for message in messages])


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def commit(server: Server) -> GroupCommit:
    return GroupCommit(cast("Any", server), cast("Any", server))


def header(batch_id: UUID) -> BatchHeader:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    return BatchHeader(batch_id, "o", "w", "normal", None, {}, Notifications(), Terms(), Reuse(), "sealed", now)


def submit(commit: GroupCommit, batch_id: UUID, body: bytes | None = None) -> "asyncio.Task[bool]":
    messages = [EncodedMessage(BatchAccepted.type, str(batch_id).encode() if body is None else body)]
    return asyncio.create_task(commit.insert(header(batch_id), messages))


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_submission_is_committed_at_once_and_those_that_come_meanwhile_go_together(
    commit: GroupCommit, server: Server
) -> None:
    ids = [uuid4() for _ in range(11)]
    first = submit(commit, ids[0])
    await settle()
    assert server.begun == [ids[:1]]
    others = [submit(commit, batch_id) for batch_id in ids[1:]]
    await settle()
    assert server.begun == [ids[:1]], "one commit at a time"
    server.go.set()
    assert await asyncio.gather(first, *others) == [True] * 11
    assert server.begun == [ids[:1], ids[1:]]
    assert server.published == [[str(x).encode() for x in ids[:1]], [str(x).encode() for x in ids[1:]]]


async def test_one_whose_identity_is_taken_fails_alone_and_sends_nothing(commit: GroupCommit, server: Server) -> None:
    ids = [uuid4() for _ in range(10)]
    server.taken = {ids[4]}
    server.go.set()
    results = await asyncio.gather(*(submit(commit, batch_id) for batch_id in ids))
    assert results == [n != 4 for n in range(10)]
    assert [body for bodies in server.published for body in bodies] == [str(x).encode() for x in ids if x != ids[4]]


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.DataError("not a text"),
        asyncpg.LockNotAvailableError("locked"),
        asyncpg.DeadlockDetectedError("deadlock"),
    ],
)
async def test_one_that_the_database_refuses_fails_alone(commit: GroupCommit, server: Server, error: Exception) -> None:
    ids = [uuid4() for _ in range(10)]
    server.refused = {ids[7]: error}
    waiting = [submit(commit, batch_id) for batch_id in ids]
    server.go.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert results == [error if n == 7 else True for n in range(10)]


async def test_a_message_that_is_too_large_fails_before_it_joins(commit: GroupCommit, server: Server) -> None:
    first, *others = [uuid4() for _ in range(3)]
    waiting = [submit(commit, first), submit(commit, others[0], b"x" * 5_000_000), submit(commit, others[1])]
    server.go.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[1], IngestError)
    assert found[::2] == [True, True]


async def test_a_lost_connection_fails_all_of_the_group_at_once(commit: GroupCommit, server: Server) -> None:
    ids = [uuid4() for _ in range(5)]
    server.refused = dict.fromkeys(ids, CUT)
    waiting = [submit(commit, batch_id) for batch_id in ids]
    server.go.set()
    assert await asyncio.gather(*waiting, return_exceptions=True) == [CUT] * 5
    assert server.begun == [ids], "none of them again"
    server.refused = {}
    assert await submit(commit, ids[0])


async def test_a_repetition_under_the_same_id_is_committed_after_the_first(commit: GroupCommit, server: Server) -> None:
    same, other = uuid4(), uuid4()
    waiting = [submit(commit, same), submit(commit, other), submit(commit, same)]
    server.go.set()
    await asyncio.gather(*waiting)
    assert server.begun == [[same, other], [same]]


async def test_a_defect_leaves_nobody_waiting(commit: GroupCommit, server: Server) -> None:
    server.insert = None  # type: ignore[assignment,method-assign]
    found = await asyncio.gather(*(submit(commit, uuid4()) for _ in range(3)), return_exceptions=True)
    assert {type(error) for error in found} == {TypeError}


async def test_no_submission_gets_the_trace_of_another(commit: GroupCommit, server: Server) -> None:
    server.go.set()
    with span("submit", TRACE):
        assert traceparent() == TRACE
        traced = submit(commit, uuid4())
    assert all(await asyncio.gather(traced, submit(commit, uuid4())))
    assert server.traces == [None]


async def test_a_caller_that_goes_does_not_stop_the_commit(commit: GroupCommit, server: Server) -> None:
    gone, other = uuid4(), uuid4()
    first, second = submit(commit, gone), submit(commit, other)
    await settle()
    first.cancel()
    server.go.set()
    assert await second
    assert sorted(body for bodies in server.published for body in bodies) == sorted(
        str(x).encode() for x in (gone, other)
    )


async def test_a_group_is_limited_by_number_and_by_size(
    commit: GroupCommit, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MAX_SUBMISSIONS", 4)
    monkeypatch.setattr(group_commit, "MAX_BYTES", 100)
    ids = [uuid4() for _ in range(8)]
    waiting = [submit(commit, batch_id, b"x" * (60 if n > 4 else 10)) for n, batch_id in enumerate(ids)]
    server.go.set()
    assert all(await asyncio.gather(*waiting))
    assert server.begun == [ids[:4], ids[4:6], ids[6:7], ids[7:]]


async def test_owners_take_turns_in_a_commit(
    server: Server, commit: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MAX_SUBMISSIONS", 4)
    first = submit(commit, uuid4())
    await settle()
    greedy, modest = [replace(header(uuid4()), owner="greedy") for _ in range(6)], header(uuid4())
    waiting = [asyncio.create_task(commit.insert(one, [])) for one in (*greedy, modest)]
    await settle()
    server.go.set()
    assert await asyncio.gather(first, *waiting) == [True] * 8
    ids = [one.batch_id for one in greedy]
    assert server.begun[1:] == [[ids[0], modest.batch_id, ids[1], ids[2]], ids[3:]]
