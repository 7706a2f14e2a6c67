"""The documents that are written for programs."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.report import conclude, keep, kept, number
from benchmarks.smoke import BASELINE, cost_ratio, document, is_within
from benchmarks.summary import Summary
from benchmarks.work import HUNDRED, Run


def test_smoke_has_the_middle_and_both_ends_of_each_rate_and_nothing_else() -> None:
    rates = {"celery_10k": Summary.of([300.0, 301.25, 402.0]), "batchyard_10k": Summary.of([9000.0])}
    assert document(rates) == {
        "batchyard_10k": {"items_per_s": {"median": 9000.0, "min": 9000.0, "max": 9000.0}},
        "celery_10k": {"items_per_s": {"median": 301.2, "min": 300.0, "max": 402.0}},
    }


def test_a_document_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    keep("figures", {"a": 1}, tmp_path / "results")
    file = keep("figures", {"b": 2}, tmp_path / "results")
    assert json.loads(file.read_text()) == {"b": 2}
    assert [each.name for each in file.parent.iterdir()] == ["figures.json"]


@pytest.mark.parametrize(
    ("before", "share", "replaces"),
    [(None, 0.5, True), (0.02, 0.1, True), (0.02, 0.11, False), (0.5, 0.4, True), (0.5, 0.0, True)],
)
def test_a_loaded_machine_never_overwrites_a_quiet_measurement(
    tmp_path: Path, before: float | None, share: float, replaces: bool
) -> None:
    if before is not None:
        keep("scale", {"curve": {"1m": {"others_share": {"max": before}}}}, tmp_path)
    document = {"curve": {"1m": {"others_share": {"max": share}}}, "machine": {"cores": 2}}
    output = StringIO()
    conclude(Console(file=output, force_terminal=True, width=200), "scale", document, tmp_path)
    assert (kept("scale", tmp_path) == document) is replaces
    assert (kept("scale", tmp_path / "loaded") == document) is not replaces
    assert ("\x1b[1;31mThe machine was loaded" in output.getvalue()) is (share > 0.1)
    assert ("stays" in output.getvalue()) is not replaces


def test_an_item_may_cost_a_seventh_more_than_the_baseline_and_no_more() -> None:
    def runs(*cpu_us: float) -> list[Run]:
        return [Run(1, HUNDRED.items, 0, cpu_s={"worker": us * HUNDRED.items / 1e6}) for us in cpu_us]

    bare = runs(20, 90, 21)
    assert is_within(cost_ratio(runs(10, 31, 90), bare), 31 / 21)
    assert is_within(cost_ratio(runs(36, 10, 35), bare), 31 / 21)
    assert not is_within(cost_ratio(runs(36, 10, 36), bare), 31 / 21)


def test_the_committed_baseline_is_a_ratio_of_costs() -> None:
    assert 1 < json.loads(BASELINE.read_text("utf-8"))["cpu_of_100k_to_bare_pipeline"] < 3


def test_numbers_have_three_digits_that_mean_something() -> None:
    assert [number(n) for n in (0.01234, 5.678, 99.96, 1234.5)] == ["0.0123", "5.68", "100", "1,234"]
