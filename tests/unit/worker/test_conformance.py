"""Workloads that keep to what is relied on, and for each check one that does not."""

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel, Field

from batchyard_contracts.workload import Context, Continuation, ItemInfo, Permanent, QuestionContext, Workload
from services.worker.conformance import bench
from services.worker.conformance.bench import Bench
from services.worker.conformance.checks import CHECKS, CheckResult, check

_SLOW_S = 0.1


class Number(BaseModel):
    n: int = Field(ge=0, le=1000)


class Answer(BaseModel):
    n: int


class Text(BaseModel):
    text: str


def workload(item: type[BaseModel] = Number, **settings: Any) -> Workload[Any, Any]:
    about = {"description": "Squares.", "example": {"n": 3}} | settings
    return Workload("squares", version="1", item=item, result=Answer, **about)


async def results(work: Workload[Any, Any], item: dict[str, Any] | None = None) -> dict[str, CheckResult]:
    found = {result.check: result for result in await check(Bench(work, None), item)}
    assert list(found) == [name for name, _ in CHECKS]
    return found


def failed(found: dict[str, CheckResult]) -> list[str]:
    return [name for name, result in found.items() if result.mark == "failed"]


async def square(item: Any, _: Context) -> Answer:
    await asyncio.sleep(_SLOW_S)
    return Answer(n=item.n * item.n)


async def twice(request: Number, _: QuestionContext) -> Answer:
    if request.n == 0:
        raise Permanent("zero")
    return Answer(n=2 * request.n)


class Highest:
    def __init__(self) -> None:
        self.n = 0

    def add(self, result: Answer, _: ItemInfo) -> None:
        self.n = max(self.n, result.n)

    def finish(self) -> Answer:
        return Answer(n=self.n)


async def test_a_sound_workload_passes_every_check() -> None:
    work = workload()
    work.handler(square)
    work.summary(Highest)
    asked = work.question("twice", request=Number, answer=Answer, description="Double it.", example={"n": 2})
    asked(twice)
    found = await results(work)
    assert {result.mark for result in found.values()} == {"passed"}


async def test_interruption_is_skipped_for_an_item_that_ends_quickly() -> None:
    work = workload()

    @work.handler
    async def run(item: Any, _: Context) -> Answer:
        return Answer(n=item.n)

    found = await results(work)
    assert failed(found) == []
    assert [name for name, result in found.items() if result.mark == "skipped"] == [
        "summary",
        "questions",
        "cancel",
        "timeout",
    ]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"description": ""}, "no description"),
        ({"example": None}, "no example"),
        ({"example": {"n": "three"}}, "does not fit the schema"),
        ({"dedup": "/m"}, "dedup points to '/m'"),
    ],
)
async def test_an_incomplete_manifest_fails_the_check(settings: dict[str, Any], says: str) -> None:
    work = workload(**settings)
    work.handler(square)
    found = await results(work, {"n": 3})
    assert failed(found) == ["manifest"]
    assert says in found["manifest"].detail


async def test_an_example_may_lack_a_destination_that_items_may_lack() -> None:
    class Labelled(Number):
        host: str = ""

    work = workload(Labelled, dedup="/host")
    work.handler(square)
    found = await results(work, {"n": 3})
    assert failed(found) == []


async def test_an_example_that_does_not_run_fails_the_check() -> None:
    work = workload()

    @work.handler
    async def run(item: Any, _: Context) -> Answer:
        raise Permanent("not_today")

    found = await results(work)
    assert failed(found) == ["example"]
    assert "not_today" in found["example"].detail
    assert found["redelivery"].mark == "skipped"


async def test_a_result_of_another_model_fails_the_check() -> None:
    work = workload()

    @work.handler
    async def run(item: Any, _: Context) -> Any:
        return Text(text="nine")

    found = await results(work)
    assert "example" in failed(found)
    assert "its result model Answer" in found["example"].detail


async def test_a_handler_that_blocks_the_event_loop_fails_the_check() -> None:
    work = workload()

    @work.handler
    async def run(item: Any, _: Context) -> Answer:
        time.sleep(0.3)  # noqa: ASYNC251  that is its fault
        return Answer(n=item.n)

    found = await results(work)
    assert failed(found) == ["event loop"]
    assert "plain `def`" in found["event loop"].detail


async def test_a_result_that_changes_on_redelivery_fails_the_check() -> None:
    work, times = workload(), itertools.count()

    @work.handler
    async def run(item: Any, _: Context) -> Answer:
        return Answer(n=next(times))

    found = await results(work)
    assert "redelivery" in failed(found)
    assert "idempotency_key" in found["redelivery"].detail


async def test_an_odd_item_that_ends_unforeseen_fails_the_check() -> None:
    class Loose(BaseModel):
        n: Any = None

    work = workload(Loose)

    @work.handler
    async def run(item: Any, _: Context) -> Answer:
        return Answer(n=1000 // item.n)

    found = await results(work)
    assert failed(found) == ["bad items"]
    assert "raise Permanent" in found["bad items"].detail


@pytest.mark.parametrize("answers", ["too few", "in another order"])
async def test_a_chunk_handler_without_an_answer_for_each_item_fails_the_check(answers: str) -> None:
    work = workload()

    @work.chunk_handler
    async def run(items: list[Any], _: list[Context]) -> Sequence[Answer]:
        found = [Answer(n=item.n) for item in items]
        return found[:2] if answers == "too few" else sorted(found, key=lambda one: -one.n)

    found = await results(work)
    assert failed(found) == ["chunk"]


async def test_a_chunk_handler_that_answers_for_each_passes() -> None:
    work = workload()

    @work.chunk_handler
    def run(items: list[Any], _: list[Context]) -> list[Answer | Continuation | Exception]:
        return [Answer(n=item.n) if item.n else Permanent("zero") for item in items]

    assert failed(await results(work)) == []


async def test_a_summary_that_raises_or_changes_fails_the_check() -> None:
    class Breaking(Highest):
        def finish(self) -> Answer:
            raise KeyError("n")

    class Changing(Highest):
        def finish(self) -> Answer:
            return Answer(n=time.monotonic_ns())

    for reducer, says in ((Breaking, "failed at its end: KeyError"), (Changing, "Made twice of the same results")):
        work = workload()

        @work.handler
        async def run(item: Any, _: Context) -> Answer:
            return Answer(n=item.n)

        work.summary(reducer)
        found = await results(work)
        assert failed(found) == ["summary"]
        assert says in found["summary"].detail


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"example": {"n": 2}}, "lacks a description"),
        ({"description": "Double it."}, "lacks a description or an example"),
        ({"description": "Double it.", "example": {"n": "two"}}, "ended as invalid_question: `n`"),
        ({"description": "Double it.", "example": {"n": 0}}, "ended as zero"),
    ],
)
async def test_a_question_that_does_not_answer_its_example_fails_the_check(settings: dict[str, Any], says: str) -> None:
    work = workload()
    work.handler(square)
    work.question("twice", request=Number, answer=Answer, **settings)(twice)
    found = await results(work)
    assert failed(found) == ["questions"]
    assert says in found["questions"].detail


@pytest.mark.parametrize("plain", [False, True])
async def test_a_handler_that_ignores_its_interruption_fails_the_check(
    monkeypatch: pytest.MonkeyPatch, *, plain: bool
) -> None:
    monkeypatch.setattr(bench, "GRACE_S", 0.05)
    work = workload()

    async def stubborn(item: Any, _: Context) -> Answer:
        until = time.monotonic() + 0.4
        while (left := until - time.monotonic()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return Answer(n=item.n)

    def in_thread(item: Any, _: Context) -> Answer:
        time.sleep(0.4)
        return Answer(n=item.n)

    handler: Callable[..., Any] = in_thread if plain else stubborn
    work.handler(handler)
    found = await results(work)
    assert failed(found) == ["cancel", "timeout"]
    assert ("context.is_stopping" in found["cancel"].detail) is plain


async def test_checks_leave_nothing_behind_that_runs() -> None:
    work, before = workload(), os.getpid()
    work.handler(square)
    await results(work)
    assert os.getpid() == before
    assert asyncio.all_tasks() == {asyncio.current_task()}
