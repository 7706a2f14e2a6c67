"""The documents that are written for programs."""

import json
from pathlib import Path

from benchmarks.report import keep, number
from benchmarks.smoke import document
from benchmarks.summary import Summary


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


def test_numbers_have_three_digits_that_mean_something() -> None:
    assert [number(n) for n in (0.01234, 5.678, 99.96, 1234.5)] == ["0.0123", "5.68", "100", "1,234"]
