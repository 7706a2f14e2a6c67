"""From documents to the tables that people read, in the console and in the documentation."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import document, tables
from benchmarks.findings import Findings
from benchmarks.report import RESULTS


def _summary(median: float) -> dict[str, float]:
    return {"samples": 3, "median": median, "min": median - 1, "max": median + 1, "p99": median}


def _work(rate: float) -> dict[str, Any]:
    return {
        "items": 10_000,
        "items_per_s": _summary(rate),
        "submit_s": _summary(2),
        "resident_mb": _summary(400),
        "resident_mb_by_role": {"ingest": 100},
        "cpu_us_per_item": {"all": 50.0},
        "others_share": _summary(0.25) | {"max": 0.5},
    }


_FINDINGS = Findings(
    {
        "comparison": {
            "machine": {
                "measured_at": "2026-11-22T00:00:00+00:00",
                "cores": 2,
                "rabbitmq": "3.10.8",
                "python": "3.11.7",
            },
            "contestants": {
                "batchyard": {
                    "title": "Batchyard",
                    "kind": "per item",
                    "works": {"10k": _work(1000), "100k": _work(2000), "naps": _work(900)},
                    "single_ms": _summary(12),
                },
                "chunks": {
                    "title": "Chunks",
                    "kind": "no outcome per item",
                    "works": {"10k": _work(500)},
                    "single_ms": None,
                },
            },
            "left_out": {"bullmq": "there is no npm"},
        },
        "scale": {"curve": {"1m": {**_work(3000), "messages_waiting": {"together": 1200}}}},
        "limits": {"insert": {"title": "copy", "items_per_s": _summary(90_000)}},
    }
)


def test_each_contestant_and_each_limit_has_a_row_as_wide_as_the_headers() -> None:
    text = tables.comparison(_FINDINGS)
    assert [row[0] for row in text.rows] == ["Batchyard", "Chunks, no outcome per item", "copy"]
    assert {len(row) for row in text.rows} == {len(text.headers)}
    million = text.headers.index("1M, items/s")
    assert [row[million] for row in text.rows] == ["3,000 (2,999 - 3,001)", "-", "-"]


def test_a_contestant_without_small_batches_has_no_row_among_them() -> None:
    contestant = _FINDINGS.contestants["batchyard"]
    ones = {**_work(70), "batches_per_s": _summary(70), "cpu_ms_per_batch": {"all": 29.5}}
    with_ones = {"batchyard": {**contestant, "works": {**contestant["works"], "ones": ones}}}
    found = Findings({"comparison": {"contestants": {**_FINDINGS.contestants, **with_ones}}})
    assert tables.small(found).rows == [("Batchyard", "70 (69 - 71)", "-", "29.5 / -")]
    assert tables.small(_FINDINGS).rows == []


def test_a_contestant_with_single_items_alone_has_a_row() -> None:
    road = {"title": "road", "kind": "limit", "works": {}, "single_ms": _summary(12)}
    (row,) = tables.comparison(Findings({"comparison": {"contestants": {"bare_road": road}}})).rows
    assert row == ("road", "-", "-", "-", "-", "12 / 12", "-", "-")


def test_a_contestant_that_was_not_measured_is_named_with_the_reason() -> None:
    assert tables.left_out(_FINDINGS) == ["bullmq was left out: there is no npm"]


def test_the_largest_share_of_others_is_told() -> None:
    line = tables.measured(_FINDINGS, "comparison")
    assert line == (
        "2026-11-22: 2 cores, RabbitMQ 3.10.8, Python 3.11.7; "
        "**the machine was loaded**: other programs took up to 50% of the processors during a run."
    )


def test_the_cost_of_an_item_and_of_a_batch_of_one_is_shown_by_process() -> None:
    batchyard = {**_FINDINGS.contestants["batchyard"], "single_cpu_ms": {"all": 30.0, "worker": 2.0, "rabbitmq": 28.0}}
    road = {"title": "road", "works": {}, "single_cpu_ms": {"all": 4.0, "workers": 4.0, "redis": 0.0}}
    found = Findings({"comparison": {"contestants": {"batchyard": batchyard, "bare_road": road}}})
    batchyard["works"] = {"100k": {"cpu_us_per_item": {"all": 31.0, "worker": 9.0, "postgres": 22.0}}}
    assert tables.costs(found).rows == [
        ("Batchyard", "31: postgres 22, worker 9", "30: rabbitmq 28, worker 2"),
        ("road", "-", "4: workers 4"),
    ]
    assert tables.costs(Findings({})).rows == []


def test_tables_of_several_days_are_named() -> None:
    def on(*days: str) -> Findings:
        return Findings(
            {name: {"machine": {"measured_at": f"{day}T00:00:00+00:00"}} for name, day in zip("ab", days, strict=False)}
        )

    assert tables.dates(on("2026-11-22", "2026-11-22")) == "All tables were measured on 2026-11-22."
    assert tables.has_one_date(on("2026-11-22", "2026-11-22"))
    assert "a 2026-11-22, b 2026-11-23" in tables.dates(on("2026-11-22", "2026-11-23"))
    assert not tables.has_one_date(on("2026-11-22", "2026-11-23"))


def test_a_page_gets_new_tables_between_its_marks_and_keeps_the_rest() -> None:
    page = "before\n<!-- measured: scale -->\nold\n<!-- /measured -->\nafter\n"
    fresh = document.rendered(page, _FINDINGS)
    assert fresh.startswith("before\n<!-- measured: scale -->\n")
    assert fresh.endswith("|\n<!-- /measured -->\nafter\n")
    assert "old" not in fresh
    assert "| 1,200 |" in fresh
    assert document.rendered(fresh, _FINDINGS) == fresh


def test_a_mark_that_no_table_has_is_an_error() -> None:
    with pytest.raises(KeyError):
        document.rendered("<!-- measured: tables -->\n<!-- /measured -->", _FINDINGS)


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    page = "<!-- measured: targets -->\n<!-- /measured -->"
    assert "Nothing has been measured yet." in document.rendered(page, Findings.read(tmp_path))


def test_the_documentation_shows_what_is_kept(tmp_path: Path) -> None:
    copies = [Path(shutil.copy(page, tmp_path)) for page in document.PAGES]
    document.write(Findings.read(RESULTS), copies)
    for copy, page in zip(copies, document.PAGES, strict=True):
        assert copy.read_text("utf-8") == page.read_text("utf-8"), "Run `make bench ARGS=report`."
