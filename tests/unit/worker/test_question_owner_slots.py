"""Owners share the slots of a question: one who asks much keeps no other waiting."""

import asyncio

import pytest

from services.worker.questions import owner_slots
from services.worker.questions.limits import QuestionRefused
from services.worker.questions.owner_slots import OwnerSlots


async def ask(slots: OwnerSlots, owner: str | None, began: list[str | None], until: asyncio.Event) -> None:
    async with slots.take(owner):
        began.append(owner)
        await until.wait()


async def test_the_next_slot_is_that_of_an_owner_who_had_none() -> None:
    slots, began, ends = OwnerSlots(1, 10), list[str | None](), [asyncio.Event() for _ in range(6)]
    owners = ["eve", "eve", "eve", "ann", None, "ann"]
    tasks = []
    for owner, end in zip(owners, ends, strict=True):
        tasks.append(asyncio.create_task(ask(slots, owner, began, end)))
        await asyncio.sleep(0)
    for end in ends:
        end.set()
    await asyncio.gather(*tasks)
    assert began == ["eve", "eve", "ann", None, "eve", "ann"]


async def test_a_client_asks_so_many_at_a_time_and_a_service_as_many_as_ingest_permits() -> None:
    slots, began, end = OwnerSlots(1, 2), list[str | None](), asyncio.Event()
    tasks = [asyncio.create_task(ask(slots, owner, began, end)) for owner in ("eve", "eve", *[None] * 5, "ann")]
    await asyncio.sleep(0)
    with pytest.raises(QuestionRefused) as refused:
        async with slots.take("eve"):
            pass
    assert (refused.value.error.code, refused.value.error.scope) == ("too_many_questions", "request")
    end.set()
    await asyncio.gather(*tasks)
    async with slots.take("eve"):
        assert len(began) == 8


async def test_a_slot_is_lost_by_no_question_that_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_slots, "PATIENCE_S", 0.01)
    slots, began, end = OwnerSlots(1, 10), list[str | None](), asyncio.Event()
    first = asyncio.create_task(ask(slots, "eve", began, end))
    await asyncio.sleep(0)
    with pytest.raises(QuestionRefused) as refused:
        async with slots.take("ann"):
            pass
    assert refused.value.error.code == "timeout"
    cancelled = asyncio.create_task(ask(slots, "ann", began, end))
    await asyncio.sleep(0)
    cancelled.cancel()
    end.set()
    await asyncio.gather(first, cancelled, return_exceptions=True)
    async with slots.take("ann"):
        assert began == ["eve"]
