"""Property tests of the handlers: any order, redelivery and crash give one end per round and correct counters."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from batchyard_contracts.message import Message
from batchyard_contracts.v1.flow import BatchAccepted, BatchControlled, BatchSealed, SummaryCompleted
from services.aggregator.domain.summary import Summary
from tests.support.ledger_messages import BATCH, accepted, controlled, made, processed, sealed, settled
from tests.support.memory_ledger import Ledger

STATUSES = ("succeeded", "failed", "cancelled", "expired", "duplicate")
ALONE = BatchAccepted | BatchSealed | BatchControlled | SummaryCompleted
"""Messages of queues that are not consumed in batches."""
BY_WORKER = {"succeeded", "failed", "cancelled"}
Fate = tuple[str, bool]
CRASHES = st.sampled_from([None, None, None, "before", "after"])
ends = st.lists(st.tuples(st.sampled_from(STATUSES), st.booleans()), min_size=1, max_size=10)


def outcomes(fates: Sequence[Fate], size: int, round_: int = 1, only: Sequence[int] | None = None) -> list[Message]:
    """Build reports on items: terminal ones by their sender, a few items each, some preceded by other runs."""
    chosen = range(len(fates)) if only is None else only
    by_status: dict[str, list[int]] = {}
    messages: list[Message] = []
    for ordinal in chosen:
        status, ran_before = fates[ordinal]
        by_status.setdefault(status, []).append(ordinal)
        if ran_before:
            messages.append(processed({ordinal: "retry"}, round_=round_))
    for status, ordinals in by_status.items():
        for start in range(0, len(ordinals), size):
            part = ordinals[start : start + size]
            if status in BY_WORKER:
                messages.append(processed(dict.fromkeys(part, status), round_=round_))
            else:
                messages.append(settled(status, part, round_=round_))
    return messages


def expected_result(statuses: Sequence[str]) -> str:
    if "cancelled" in statuses:
        return "cancelled"
    if not {"failed", "expired"} & set(statuses):
        return "completed"
    return "partial" if "succeeded" in statuses else "failed"


async def deliver_all(draw: Any, ledger: Ledger, messages: Sequence[Message]) -> None:
    """Deliver each message at least once, some twice, in any order, outcomes in small batches, with crashes."""
    again = draw(st.lists(st.sampled_from(messages), max_size=4))
    order = draw(st.permutations([*messages, *again]))
    while order:
        together = 1
        if not isinstance(order[0], ALONE):
            together += draw(st.integers(0, 2))
            while any(isinstance(one, ALONE) for one in order[:together]):
                together -= 1
        await ledger.deliver(order[:together], draw(CRASHES))
        order = order[together:]


@settings(max_examples=250, deadline=None)
@given(st.data(), ends, st.integers(1, 4), st.booleans())
def test_a_round_ends_once_in_every_order_of_messages(
    data: st.DataObject, fates: list[Fate], size: int, sealed_at_once: bool
) -> None:
    async def scenario() -> None:
        ledger = Ledger()
        total = len(fates)
        header = [accepted(total)] if sealed_at_once else [accepted(None), sealed(total)]
        await deliver_all(data.draw, ledger, [*header, *outcomes(fates, size)])
        (end,) = ledger.finished()
        statuses = [status for status, _ in fates]
        assert end.result == expected_result(statuses)
        assert end.counts.model_dump(exclude_none=True) == {"total": total, "remaining": 0, "cached": 0} | {
            s: statuses.count(s) for s in STATUSES
        }
        assert ledger.store.batches[BATCH].counters == ledger.store.counted(BATCH)

    asyncio.run(scenario())


@settings(max_examples=150, deadline=None)
@given(st.data(), ends, st.integers(1, 4))
def test_conflicting_reports_count_once(data: st.DataObject, fates: list[Fate], size: int) -> None:
    """Two reports disagree on every item: the first one counts, and nothing is counted twice."""

    async def scenario() -> None:
        ledger = Ledger()
        other = [("failed" if status == "succeeded" else "succeeded", False) for status, _ in fates]
        messages = [accepted(len(fates)), *outcomes(fates, size), *outcomes(other, size)]
        await deliver_all(data.draw, ledger, messages)
        (end,) = ledger.finished()
        assert end.counts.ended == len(fates)
        assert ledger.store.batches[BATCH].counters == ledger.store.counted(BATCH)

    asyncio.run(scenario())


@settings(max_examples=150, deadline=None)
@given(st.data(), ends, st.integers(1, 4))
def test_a_repeated_retry_opens_one_round(data: st.DataObject, fates: list[Fate], size: int) -> None:
    """Late reports of the first round change nothing in the second."""

    async def scenario() -> None:
        ledger = Ledger()
        first = outcomes(fates, size)
        await deliver_all(data.draw, ledger, [accepted(len(fates)), *first])
        again = [ordinal for ordinal, (status, _) in enumerate(fates) if status in {"failed", "cancelled", "expired"}]
        retry = controlled("retry", 100)
        await deliver_all(data.draw, ledger, [retry, retry, *first])
        assert sorted(ordinal for message in ledger.reopened() for ordinal in message.ordinals) == again
        assert {message.round for message in ledger.reopened()} == ({2} if again else set())

        better: list[Fate] = [("succeeded", ran_before) for _, ran_before in fates]
        await deliver_all(data.draw, ledger, [retry, *first, *outcomes(better, size, 2, again), accepted(len(fates))])
        ends = ledger.finished()
        assert [end.round for end in ends] == ([1, 2] if again else [1])
        assert ends[-1].result == "completed"
        assert ends[-1].counts.ended == len(fates)
        assert ledger.store.batches[BATCH].counters == ledger.store.counted(BATCH)

    asyncio.run(scenario())


@settings(max_examples=150, deadline=None)
@given(st.data(), ends, st.integers(1, 4))
def test_only_the_first_summary_ends_its_round(data: st.DataObject, fates: list[Fate], size: int) -> None:
    """Answers arrive early, late, with an error or for another round; the stored summary is the published one."""

    async def scenario() -> None:
        ledger = Ledger()
        header = accepted(len(fates)).model_copy(update={"has_summary": True})
        answers = [made({"n": 1}), made(None, "broken"), made({"n": 2}, round_=2)]
        await deliver_all(data.draw, ledger, [header, *outcomes(fates, size), *answers])
        if any(status == "succeeded" for status, _ in fates):
            assert ledger.finished() or ledger.store.batches[BATCH].is_awaiting_summary
            await deliver_all(data.draw, ledger, answers)
        (end,) = ledger.finished()
        assert end.result == expected_result([status for status, _ in fates])
        kept = ledger.store.summaries.get((ledger.store.batches[BATCH].key, 1), Summary())
        assert (end.summary, end.summary_error) == (kept.value, kept.error)
        assert bool(ledger.store.summaries) == any(status == "succeeded" for status, _ in fates)

    asyncio.run(scenario())


def test_the_fast_path_is_left_when_another_process_changed_the_batch() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        await ledger.deliver([accepted(4)])
        await ledger.deliver([processed({0: "succeeded"})])
        assert ledger.store.fast_path_uses == 1
        known = ledger.store.batches[BATCH]
        ledger.store.batches[BATCH] = replace(known, paused=True, version=known.version + 1)
        await ledger.deliver([processed({1: "succeeded"})])
        assert (ledger.store.fast_path_uses, ledger.store.batches[BATCH].paused) == (1, True)
        await ledger.deliver([processed({2: "failed"})])
        assert ledger.store.fast_path_uses == 1
        await ledger.deliver([processed({1: "succeeded", 3: "succeeded"})])
        assert ledger.store.batches[BATCH].counters == ledger.store.counted(BATCH)
        await ledger.deliver([processed({3: "cancelled"})])
        (end,) = ledger.finished()
        assert (end.result, end.counts.succeeded, end.counts.failed) == ("partial", 3, 1)

    asyncio.run(scenario())


def test_many_batches_end_together_except_one_that_another_process_changed() -> None:
    async def scenario() -> None:
        ledger = Ledger()
        ids = [UUID(int=number) for number in range(20)]
        for batch_id in ids:
            await ledger.deliver([accepted(2, batch_id=batch_id)])
        reports = [processed({ordinal: "succeeded"}, batch_id=batch_id) for ordinal in range(2) for batch_id in ids]
        changed = ledger.store.batches[ids[7]]
        ledger.store.batches[ids[7]] = replace(changed, paused=True, version=changed.version + 1)
        await ledger.deliver(reports)
        assert ledger.store.fast_path_uses == 1
        assert {end.batch_id for end in ledger.finished()} == set(ids)
        assert all(ledger.store.batches[batch_id].counters.succeeded == 2 for batch_id in ids)

    asyncio.run(scenario())
