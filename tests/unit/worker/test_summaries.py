"""Workloads define summaries, and the worker makes them, whatever a reducer does."""

from threading import Event
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from batchyard_contracts.v1.queries import ResultsReply
from batchyard_contracts.v1.values import SUMMARY_MAX_BYTES, ItemResult
from batchyard_contracts.workload import Context, ItemInfo, Workload
from services.worker.summaries.reduction import Reduction, SummaryFailed
from services.worker.summaries.results import ResultPage


class Number(BaseModel):
    n: int


class Sum(BaseModel):
    sum: int
    named: list[str] = []


class Nested(BaseModel):
    parts: Any = None


def workload() -> Workload[Number, Number]:
    made = Workload("squares", version="1", item=Number, result=Number)

    @made.handler
    async def run(item: Number, context: Context) -> Number:
        return item

    return made


class Total:
    def __init__(self) -> None:
        self.sum, self.named = 0, list[str]()

    def add(self, result: Number, item: ItemInfo) -> None:
        self.sum += result.n
        if item.custom_id:
            self.named.append(f"{item.ordinal}:{item.custom_id}")

    def finish(self) -> Sum:
        return Sum(sum=self.sum, named=self.named)


def reduced(reducer: type[Any], *numbers: Any) -> Any:
    """Return the summary of these results, as a worker reads them from a reply."""
    squares = workload()
    squares.summary(reducer)
    rows = [
        ItemResult(ordinal=i, custom_id=f"c{i}", status="succeeded", result={"n": n}) for i, n in enumerate(numbers)
    ]
    page = ResultPage.decode(ResultsReply(items=rows).encode())
    reduction = Reduction(squares)
    reduction.add_rows(page.items, Event())
    return reduction.finish()


def test_every_result_is_added_in_order_with_its_item() -> None:
    assert reduced(Total, 1, 2, 3) == {"sum": 6, "named": ["0:c0", "1:c1", "2:c2"]}


def test_the_manifest_says_what_the_summary_looks_like() -> None:
    squares = workload()
    assert squares.announcement().summary_schema is None
    assert squares.summary(Total) is Total
    assert squares.announcement().summary_schema == Sum.model_json_schema(mode="serialization")


def test_a_class_that_is_no_summary_is_refused_by_the_decorator() -> None:
    class Endless:
        def add(self, result: Number, item: ItemInfo) -> None: ...

    class Silent(Endless):
        def finish(self): ...  # type: ignore[no-untyped-def]

    squares = workload()
    with pytest.raises(TypeError, match="no method 'finish'"):
        squares.summary(Endless)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="return annotation"):
        squares.summary(Silent)
    squares.summary(Total)
    with pytest.raises(TypeError, match="two summaries"):
        squares.summary(Total)


def test_a_reducer_that_fails_says_where() -> None:
    class Late(Total):
        def add(self, result: Number, item: ItemInfo) -> None:
            raise SystemExit("no more")

    class Wrong(Total):
        def finish(self) -> Sum:
            raise KeyError("x")

    class Unborn(Total):
        def __init__(self) -> None:
            raise ValueError("half of a pair: \ud800")

    with pytest.raises(SummaryFailed, match="failed at item 0: SystemExit: no more"):
        reduced(Late, 1)
    with pytest.raises(SummaryFailed, match="failed at its end: KeyError: 'x'"):
        reduced(Wrong, 1)
    with pytest.raises(SummaryFailed, match="failed at its beginning") as found:
        reduced(Unborn, 1)
    assert str(found.value).encode()


def test_a_result_of_another_version_is_named() -> None:
    with pytest.raises(SummaryFailed, match="result of item 1 does not fit the model of squares: `n` takes"):
        reduced(Total, 1, "many")


def test_a_summary_has_a_limit_and_its_model() -> None:
    class Long(Total):
        def finish(self) -> Sum:
            return Sum(sum=0, named=["x" * SUMMARY_MAX_BYTES])

    class Other(Total):
        def finish(self) -> Sum:
            return Number(n=1)  # type: ignore[return-value]

    class Deep(Total):
        def finish(self) -> Nested:  # type: ignore[override]
            nested: Any = []
            for _ in range(1000):
                nested = [nested]
            return Nested.model_construct(parts=nested)

    with pytest.raises(SummaryFailed, match="failed at its end"):
        reduced(Deep)
    with pytest.raises(SummaryFailed, match=f"at most {SUMMARY_MAX_BYTES} are kept. Let it hold less"):
        reduced(Long)
    with pytest.raises(SummaryFailed, match="is a Number, not its model"):
        reduced(Other)


def test_a_worker_of_an_older_version_has_no_summary() -> None:
    with pytest.raises(SummaryFailed, match="its version is another one"):
        Reduction(workload())


def test_a_stopped_summary_takes_nothing_more() -> None:
    stop, squares = Event(), workload()
    squares.summary(Total)
    stop.set()
    reduction = Reduction(squares)
    reduction.add_rows(
        ResultPage.decode(b'{"items":[{"ordinal":0,"status":"succeeded","result":{"n":1}}]}').items, stop
    )
    assert reduction.finish() == {"sum": 0, "named": []}


def test_a_body_that_is_no_page_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        ResultPage.decode(b'{"items": 1}')
