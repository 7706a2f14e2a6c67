"""Measurements held against their targets."""

from typing import Any

import pytest

from benchmarks.findings import Findings
from benchmarks.targets import TARGETS, Target, verdicts


def _summary(median: float, high: float | None = None) -> dict[str, float]:
    return {"samples": 3, "median": median, "min": median, "max": high or median, "p99": high or median}


def _contestant(rate: float, kind: str = "per item", naps: float = 100, p50: float = 10) -> dict[str, Any]:
    works = {work: {"items_per_s": _summary(of)} for work, of in (("10k", rate), ("100k", rate), ("naps", naps))}
    return {"title": "", "kind": kind, "works": works, "single_ms": _summary(p50, p50 * 2)}


def _found(**contestants: dict[str, Any]) -> Findings:
    return Findings({"comparison": {"contestants": contestants}})


def _values(findings: Findings) -> dict[str, float]:
    return {verdict.target.name: verdict.value for verdict in verdicts(findings)}


def test_ratios_are_those_of_the_medians() -> None:
    values = _values(
        _found(
            batchyard=_contestant(9000, naps=1600, p50=12),
            celery=_contestant(300, naps=400, p50=10),
            bullmq=_contestant(3000, naps=800),
            celery_chunks_100=_contestant(6000, "no outcome per item"),
            celery_chunks_1000=_contestant(12000, "no outcome per item"),
            chunk_limit_100=_contestant(36000, "limit", naps=2000),
            bare_road={"title": "", "kind": "limit", "works": {}, "single_ms": _summary(8)},
        )
    )
    assert values == {
        "10k_celery": 30,
        "10k_peers": 3,
        "10k_chunks": 0.75,
        "100k_limit": 0.25,
        "naps_ideal": 1.25,
        "naps_peers": 2,
        "single_road": 1.5,
        "single_p99": 2,
    }


def test_missing_measurements_are_not_judged() -> None:
    assert _values(Findings({})) == {}
    assert "10k_peers" not in _values(_found(batchyard=_contestant(1), chunk_limit_100=_contestant(1, "limit")))


def test_a_million_is_held_against_smaller_batches_of_the_same_cluster() -> None:
    def size(rate: float, mb: float) -> dict[str, Any]:
        return {
            "items_per_s": _summary(rate),
            "submit_s": _summary(20, 29),
            "resident_mb": _summary(mb, mb + 5),
            "messages_waiting": {"together": 120},
        }

    curve = {"10k": size(900, 400), "100k": size(1000, 410), "1m": size(850, 430)}
    urgent, fairness = _summary(80, 400), {"share": _summary(0.5)}
    values = _values(Findings({"scale": {"curve": curve, "urgent_ms": urgent, "fairness": fairness}}))
    assert values == {
        "1m_accepted": 29,
        "1m_rate": 0.85,
        "1m_memory": 435,
        "1m_memory_10k": 1.075,
        "1m_waiting": 120,
        "urgent_p99": 400,
        "fair_share": 0.5,
    }


@pytest.mark.parametrize(
    ("sense", "below", "at", "above"), [(">=", False, True, True), ("<=", True, True, False), ("<", True, False, False)]
)
def test_a_bound_is_met_on_its_side(sense: Any, below: bool, at: bool, above: bool) -> None:
    target = Target("name", "title", sense, 2, lambda _: None)
    assert [target.met(value) for value in (1.9, 2, 2.1)] == [below, at, above]


def test_every_target_has_a_name_of_its_own() -> None:
    assert len({target.name for target in TARGETS}) == len(TARGETS)
