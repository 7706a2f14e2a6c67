"""Options of a workload: they are in groups, and one at the wrong place is an error that names the right one."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from batchyard_contracts.v1.manifest import (
    Adaptive,
    CircuitRule,
    Limit,
    Manifest,
    Partition,
    RecordsExport,
    TextExport,
    Unit,
)
from batchyard_contracts.v1.values import Rate, RetryRule
from batchyard_contracts.workload import Caching, Chunking, Exports, Limits, Retry, Workload


class Number(BaseModel):
    n: int


def workload(**options: Any) -> Workload[Number, Number]:
    return Workload("squares", version="1", item=Number, result=Number, **options)


def test_a_workload_without_options_has_the_defaults_of_the_manifest() -> None:
    schema = Number.model_json_schema()

    assert workload().announcement() == Manifest(
        name="squares",
        version="1",
        title="squares",
        item_schema=schema,
        result_schema=schema,
        checks_results=True,
    )


def test_each_option_of_a_group_is_announced() -> None:
    rule, rate, adaptive = RetryRule(attempts=2), Rate(per_second=3), Adaptive(floor=1, ceiling=9)
    text, records = TextExport(content="/a", filename="/b", suffix=".cue"), RecordsExport(records="/c", id="/d")
    partition, unit, limit = Partition(pointer="/n"), Unit(name="records", count="/n"), Limit(name="account")
    schema = Number.model_json_schema()

    announced = workload(
        title="Squares",
        description="Squares a number.",
        example={"n": 1},
        partition=partition,
        dedup="/n",
        unit=unit,
        unavailable=lambda: "Set SQUARES_KEY.",
        chunking=Chunking(max=50, min=5, target_s=0.5),
        limits=Limits(
            concurrency=7,
            item_timeout_s=8.0,
            max_items=lambda: 1000,
            rate=rate,
            rates={"1": rate},
            partition_concurrency=9,
            adaptive=adaptive,
            additional=[limit],
        ),
        retry=Retry({"default": rule}, circuit=CircuitRule(base_s=3.0), repeatable=False),
        caching=Caching(ttl_s=60, variant=lambda: "large"),
        exports=Exports({"cue": text}, records=records),
    ).announcement()

    assert announced == Manifest(
        name="squares",
        version="1+large",
        title="Squares",
        description="Squares a number.",
        item_schema=schema,
        result_schema=schema,
        checks_results=True,
        example={"n": 1},
        partition=partition,
        dedup="/n",
        unit=unit,
        unavailable="Set SQUARES_KEY.",
        chunk_max=50,
        chunk_min=5,
        chunk_target_s=0.5,
        concurrency=7,
        item_timeout_s=8.0,
        max_items=1000,
        rate=rate,
        rates={"1": rate},
        partition_concurrency=9,
        adaptive=adaptive,
        limits=[limit],
        retry={"default": rule},
        circuit=CircuitRule(base_s=3.0),
        repeatable=False,
        cache_ttl_s=60,
        exports={"cue": text},
        records=records,
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"concurrency": 5}, "Workload has no parameter 'concurrency'. Write limits=Limits(concurrency=…)."),
        ({"repeatable": False}, "Write retry=Retry(repeatable=…)."),
        ({"chunk_max": 5}, "Write chunking=Chunking(max=…)."),
        ({"cache_ttl_s": 5}, "Write caching=Caching(ttl_s=…)."),
        ({"records": None}, "Write exports=Exports(records=…)."),
        ({"concurency": 5}, "Workload has no parameter 'concurency'. It has name, version, item,"),
        ({"retry": {"default": RetryRule()}}, "`retry` is a dict. Write retry=Retry(…)."),
    ],
)
def test_an_option_at_the_wrong_place_is_an_error_that_names_the_right_one(options: dict[str, Any], says: str) -> None:
    with pytest.raises(TypeError) as caught:
        workload(**options)

    assert says in str(caught.value)


def test_a_group_names_the_place_of_an_option_of_another_group_or_of_the_workload() -> None:
    wrong: dict[str, Any] = {"ttl_s": 5}
    with pytest.raises(TypeError, match=r"Limits has no parameter 'ttl_s'\. Write caching=Caching\(ttl_s=…\)\."):
        Limits(**wrong)
    wrong = {"partition": Partition(pointer="/n")}
    with pytest.raises(TypeError, match=r"Limits has no parameter 'partition'\. Write Workload\(partition=…\)\."):
        Limits(**wrong)


def test_a_value_out_of_range_is_an_error() -> None:
    with pytest.raises(ValidationError, match="chunk_max"):
        workload(chunking=Chunking(max=0))


def test_an_adaptive_rate_may_depend_on_the_settings_of_a_worker() -> None:
    found: list[Adaptive | None] = [None, Adaptive(floor=1, ceiling=9)]
    made = workload(limits=Limits(adaptive=lambda: found[0]))
    assert made.announcement().adaptive is None
    found.reverse()
    assert made.announcement().adaptive == Adaptive(floor=1, ceiling=9)
