"""A state machine over dispatcher and ledger: duplicates, reorderings, kills and clock steps break no promise."""

import asyncio
import random
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from batchyard_contracts.v1.flow import ItemOutcome
from batchyard_contracts.v1.values import ItemError
from devstack import Servers
from services.dispatcher.leadership.lease_keeper import LeaseEnded
from tests.support.dispatcher_parts import Parts, dispatcher_parts
from tests.support.simulated_dispatcher import Crashing
from tests.support.simulated_pipeline import DISPATCHER_QUEUES, SimulatedBatch, SimulatedPipeline

pytestmark = pytest.mark.fuzz
T = TypeVar("T")
TABLES = "batches, steering, terms, withdrawn, pages, leases, retries, workloads"
MOST_BATCHES = 2
CRASHES = st.sampled_from([None, None, None, None, "before", "after"])
DELIVERIES: list[tuple[bool, Crashing]] = (
    [(False, None)] * 6 + [(True, None)] * 2 + [(False, "before"), (False, "after")]
)
"""Deliveries: whether the message comes again, and when its receiver dies."""
STATUSES = st.sampled_from(["succeeded", "succeeded", "failed", "retry", "continued"])


def outcome(ordinal: int, status: Any) -> ItemOutcome:
    fields: dict[str, Any] = {"ordinal": ordinal, "status": status}
    if status in {"failed", "retry"}:
        fields["error"] = ItemError(code="busy")
    if status == "continued":
        fields |= {"delay_s": 1.0, "state": {"step": 1}}
    return ItemOutcome.model_validate(fields)


def publish_nothing(_: object) -> None:
    raise LeaseEnded


class Machine(RuleBasedStateMachine):
    """Each rule is one event; `teardown` lets everything end, and checks that it ended well."""

    runner: asyncio.Runner
    make: Any
    make_frozen: Any
    """Makes dispatchers of an earlier epoch."""
    database: "asyncpg.Connection[Any]"

    def __init__(self) -> None:
        super().__init__()
        ids = count(1)
        self.patches = pytest.MonkeyPatch()  # so that the same events have the same effect
        self.patches.setattr(uuid, "uuid4", lambda: UUID(int=next(ids), version=4))
        self.patches.setattr(random, "random", lambda: 1.0)  # a retry is due when time passes, never before
        self._do(self.database.execute("".join(f"DELETE FROM dispatcher.{table};" for table in TABLES.split(", "))))
        self.pipeline = SimulatedPipeline(self.make)
        self.frozen: Parts | None = None
        self._do(self.pipeline.dispatcher.start())

    def _do(self, operation: Any) -> None:
        self.runner.run(operation)

    def _pick(self, data: st.DataObject, of: Iterable[T]) -> T:
        return data.draw(st.sampled_from(list(of)))

    @property
    def _batches(self) -> list[SimulatedBatch]:
        return list(self.pipeline.batches.values())

    @precondition(lambda self: len(self.pipeline.batches) < MOST_BATCHES)
    @rule(first=st.integers(0, 4), second=st.integers(1, 2), pages=st.integers(1, 2), is_sealed=st.booleans())
    def submit(self, first: int, second: int, pages: int, *, is_sealed: bool) -> None:
        sizes = {name: size for name, size in {"a": first, "b": second}.items() if size}
        self._do(self.pipeline.submit(sizes, pages, is_sealed=is_sealed))

    @precondition(lambda self: any(not batch.is_sealed for batch in self._batches))
    @rule(data=st.data())
    def seal(self, data: st.DataObject) -> None:
        self._do(self.pipeline.seal(self._pick(data, [batch for batch in self._batches if not batch.is_sealed])))

    @precondition(lambda self: any(map(self.pipeline.can_be_controlled, self._batches)))
    @rule(data=st.data(), action=st.sampled_from(["pause", "resume", "resume", "cancel"]))
    def control(self, data: st.DataObject, action: Any) -> None:
        batch = self._pick(data, filter(self.pipeline.can_be_controlled, self._batches))
        self._do(self.pipeline.control(batch, action))

    @precondition(lambda self: any(map(self.pipeline.can_be_retried, self._batches)))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        batch = self._pick(data, filter(self.pipeline.can_be_retried, self._batches))
        self._do(self.pipeline.control(batch, "retry"))

    @precondition(lambda self: any(self.pipeline.queues.values()))
    @rule(data=st.data(), number=st.integers(1, 8))
    def deliver(self, data: st.DataObject, number: int) -> None:
        """Deliver some bundles out of order, some of them so that they come again, some to a process that dies."""
        for _ in range(number):
            if not (filled := [name for name, messages in self.pipeline.queues.items() if messages]):
                break
            queue = self._pick(data, filled)
            place = data.draw(st.integers(0, len(self.pipeline.queues[queue]) - 1))
            again, crash = data.draw(st.sampled_from(DELIVERIES))
            most = data.draw(st.sampled_from([1, 1, 2, 4]))
            self._do(self.pipeline.deliver(queue, place, most=most, again=again, crash=crash))

    @precondition(lambda self: any(self.pipeline.queues.values()))
    @rule()
    def deliver_all(self) -> None:
        self._do(self.pipeline.deliver_all())

    @rule(crash=CRASHES)
    def dispatch(self, crash: Any) -> None:
        self._do(self.pipeline.dispatcher.dispatch(crash))

    @precondition(lambda self: self.pipeline.waiting)
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        """Let workers take some chunks."""
        for _ in range(data.draw(st.integers(1, len(self.pipeline.waiting)))):
            self.pipeline.take(data.draw(st.integers(0, len(self.pipeline.waiting) - 1)))

    @precondition(lambda self: self.pipeline.held or self.pipeline.abandoned)
    @rule(data=st.data(), number=st.integers(1, 5))
    def report(self, data: st.DataObject, number: int) -> None:
        """Report some chunks wholly or in part; also by workers that nobody hears any more."""
        for _ in range(number):
            if not (chunks := [*self.pipeline.held, *self.pipeline.abandoned]):
                break
            chunk = self._pick(data, chunks)
            is_final = data.draw(st.booleans())
            first = 0 if is_final else data.draw(st.integers(0, len(chunk.items) - 1))
            found = [outcome(item.ordinal, data.draw(STATUSES)) for item in chunk.items[first:]]
            self.pipeline.report(chunk, found, is_final=is_final)

    @precondition(lambda self: self.pipeline.abandoned)
    @rule(data=st.data())
    def report_late(self, data: st.DataObject) -> None:
        """Let a worker that nobody heard any more report a whole chunk after all."""
        chunk = self._pick(data, self.pipeline.abandoned)
        self.pipeline.report(chunk, [outcome(item.ordinal, "succeeded") for item in chunk.items], is_final=True)
        self._do(self.pipeline.deliver_all())

    @precondition(lambda self: self.pipeline.delivered)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Let a message come again, however long ago it was."""
        queue, message = self._pick(data, self.pipeline.delivered)
        self.pipeline.queues[queue].append(message)

    @precondition(lambda self: self.pipeline.held)
    @rule()
    def lose_workers(self) -> None:
        """Let all workers vanish, and so much time pass that others get their chunks."""
        self.pipeline.lose_workers()
        self._do(self.pipeline.pass_time())

    @precondition(lambda self: self.pipeline.held)
    @rule(data=st.data())
    def lose_worker(self, data: st.DataObject) -> None:
        chunk = self._pick(data, self.pipeline.held)
        self.pipeline.held.remove(chunk)
        self.pipeline.abandoned.append(chunk)

    @precondition(lambda self: self.pipeline.held)
    @rule(data=st.data(), reason=st.sampled_from(["redelivered", "stopping"]))
    def give_back(self, data: st.DataObject, reason: Any) -> None:
        self.pipeline.give_back(self._pick(data, self.pipeline.held), reason)

    @precondition(lambda self: self.pipeline.held or self.pipeline.abandoned)
    @rule(data=st.data())
    def request_start(self, data: st.DataObject) -> None:
        """Let workers ask whether they may start items that must not run twice, also one that is lost."""
        chunk = self._pick(data, [*self.pipeline.held, *self.pipeline.abandoned])
        ordinals = [item.ordinal for item in chunk.items[: data.draw(st.integers(1, len(chunk.items)))]]
        for worker_id in data.draw(st.permutations(["hand", "lost"]))[: data.draw(st.integers(1, 2))]:
            self._do(self.pipeline.dispatcher.request_start(chunk, worker_id, ordinals))

    @rule()
    def freeze(self) -> None:
        """Let a dispatcher of an earlier epoch know what is in the tables now."""
        frozen: Parts = self.make_frozen()
        frozen.add_workload("w", chunk_max=3)
        frozen.outbox.refuse = publish_nothing
        self._do(frozen.components.load(lambda: None))
        self.frozen = frozen

    @precondition(lambda self: self.frozen and any(self.pipeline.queues[name] for name in DISPATCHER_QUEUES))
    @rule(data=st.data())
    def wake_frozen(self, data: st.DataObject) -> None:
        assert self.frozen
        messages = [message for name in DISPATCHER_QUEUES for message in self.pipeline.queues[name]]
        self._do(self.pipeline.dispatcher.wake_frozen(self.frozen, self._pick(data, messages)))

    @rule(crash=CRASHES)
    def pass_time(self, crash: Any) -> None:
        self._do(self.pipeline.pass_time(crash))

    @rule(seconds=st.integers(-60, 60))
    def step_clock(self, seconds: int) -> None:
        self.pipeline.clock += timedelta(seconds=seconds)

    @rule()
    def kill_dispatcher(self) -> None:
        self._do(self.pipeline.dispatcher.start())

    @invariant()
    def counts_add_up(self) -> None:
        self.pipeline.check_counts()

    @invariant()
    def each_item_is_in_one_place(self) -> None:
        self._do(self.pipeline.dispatcher.check_items())

    def teardown(self) -> None:
        try:
            self._do(self.pipeline.finish())
        finally:
            self.patches.undo()


@pytest.fixture
def machine(clean: Servers) -> Iterator[type[Machine]]:
    """Connect the machine to a database whose commits need not reach the disk."""

    async def connect(stack: AsyncExitStack) -> tuple[Any, Any, Any]:
        database = await asyncpg.connect(clean.database_url)
        stack.push_async_callback(database.close)
        name = await database.fetchval("SELECT quote_ident(current_database())")
        await database.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        frozen = await stack.enter_async_context(dispatcher_parts(clean, epoch=0))
        make = await stack.enter_async_context(dispatcher_parts(clean, epoch=1))
        begin = "INSERT INTO dispatcher.tenure (number) VALUES (1) ON CONFLICT (one) DO UPDATE SET number = 1"
        await database.execute(begin)
        return database, make, frozen

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        database, make, frozen = runner.run(connect(stack))
        makers = {"make": staticmethod(make), "make_frozen": staticmethod(frozen)}
        yield type("ConnectedMachine", (Machine,), {"runner": runner, "database": database, **makers})
        runner.run(stack.aclose())


def test_every_item_ends_once_and_every_round_ends_once(machine: type[Machine], fuzz_seed: int) -> None:
    budget = settings(
        max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(seed(fuzz_seed)(machine), settings=budget)
