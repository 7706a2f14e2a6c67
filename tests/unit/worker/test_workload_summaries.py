"""Summaries of the built-in workloads, made of results in JSON as the aggregator returns them."""

import datetime as dt
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.summaries.reduction import summary_of
from services.worker.workloads import distances, predictions, tracklists, videos
from services.worker.workloads.predictions.estimator import estimate
from services.worker.workloads.predictions.model import Project
from services.worker.workloads.tracklists.answer import judge_saved
from services.worker.workloads.tracklists.model import Tracklist
from services.worker.workloads.tracklists.result import make_result
from tests.support.tracklist_site import good_page

EXAMPLES = Path(__file__).parents[3] / "examples"
WAYS = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(["ann", "bob", "cem", "dot", "eve"]), st.none() | st.integers(0, 9)
    )
)


def way(job: str | None, contractor: str | None, seconds: int | None) -> dict[str, Any]:
    there = seconds is not None
    return {
        "status": "ok" if there else "unreachable",
        "metres": 10 * seconds if there and seconds is not None else None,
        "seconds": seconds,
        "provider": "osrm",
        "method": "road network",
        "contractor": contractor,
        "job": job,
    }


@given(WAYS)
def test_distances_rank_the_nearest_for_each_job(ways: list[tuple[str, str, int | None]]) -> None:
    made: Any = summary_of(distances.workload, [way(*one) for one in ways])
    known = [seconds for _, _, seconds in ways if seconds is not None]
    assert (made["pairs"], made["unreachable"]) == (len(ways), len(ways) - len(known))
    assert made["longest_seconds"] == max(known, default=None)
    for ranking in made["jobs"]:
        times = sorted(s for job, _, s in ways if job == ranking["job"] and s is not None)
        assert [near["seconds"] for near in ranking["nearest"]] == times[:3]
    assert {ranking["job"] for ranking in made["jobs"]} == {job for job, _, _ in ways}


def test_distances_rank_the_first_jobs_and_say_that_there_are_more() -> None:
    worst = "\x01" * 128  # six bytes of JSON a character
    jobs = [f"{n:03}{worst[3:]}" for n in range(21)]
    ways = [way(job, f"{n}{worst[1:]}", n) for job in jobs for n in range(5)]
    made: Any = summary_of(distances.workload, [*ways, way(None, None, 1)])
    assert [ranking["job"] for ranking in made["jobs"]] == jobs[:20]
    assert made["more_jobs"] is True
    assert made["pairs"] == 106


def test_a_summary_of_no_results_is_empty() -> None:
    made: Any = summary_of(distances.workload, [])
    assert (made["pairs"], made["mean_metres"], made["jobs"]) == (0, None, [])
    assert summary_of(tracklists.workload, []) is not None
    assert summary_of(predictions.workload, []) is not None


def test_a_portfolio_has_the_sums_of_its_projects() -> None:
    lines = (EXAMPLES / "predictions-portfolio.ndjson").read_bytes().splitlines()
    results = [estimate(Project.model_validate(orjson.loads(line))) for line in lines]
    made: Any = summary_of(predictions.workload, [result.model_dump(mode="json") for result in results])
    costs = [r.final_cost for r in results if r.final_cost and r.final_cost.value is not None]
    dates = [r.completion_date for r in results if r.completion_date and r.completion_date.value]
    total = made["final_cost"]
    assert (made["projects"], total["projects"], made["completion_date"]["projects"]) == (
        len(results), len(costs), len(dates),
    )  # fmt: skip
    assert total["value"] == pytest.approx(sum(cost.value or 0 for cost in costs), abs=0.01)
    assert total["highest"] == pytest.approx(sum(cost.highest or 0 for cost in costs), abs=0.01)
    squares = sum(((cost.highest or 0) - (cost.value or 0)) ** 2 for cost in costs)
    assert total["independent_highest"] == pytest.approx(total["value"] + squares**0.5, abs=0.01)
    assert total["lowest"] <= total["independent_lowest"] <= total["value"] <= total["independent_highest"]
    assert dt.date.fromisoformat(made["completion_date"]["value"]) == max(date.value for date in dates if date.value)
    last = max(results, key=lambda r: (r.completion_date and r.completion_date.value) or dt.date.min)
    assert made["completion_date"]["last"] == last.project
    assert sum(made["risk"].values()) == len(results)


def test_tracklists_are_counted_and_the_poorest_named() -> None:
    read = [judge_saved(good_page(f"ok{n}", "https://site.test"), "") for n in range(8)]
    results = [make_result(one) for one in read if isinstance(one, Tracklist)]
    assert len(results) > 5
    made: Any = summary_of(tracklists.workload, [result.model_dump(mode="json") for result in results])
    assert made["tracklists"] == len(results)
    assert made["tracks"] == made["identified"] + made["partial"] + made["unknown"]
    assert made["tracks"] == sum(result.track_count for result in results)
    assert made["mean_quality"] == pytest.approx(sum(r.quality_score for r in results) / len(results), abs=0.06)
    scores = sorted((result.quality_score, result.slug) for result in results)[:5]
    assert [(poor["quality_score"], poor["slug"]) for poor in made["poorest"]] == scores


def test_clips_are_added_up_with_what_is_known_of_their_cost() -> None:
    def clip(provider: str, seconds: float | None, cost: float | None) -> dict[str, Any]:
        kept = {"uri": "file:///x", "bytes": 1000, "sha256": "0" * 64, "content_type": "video/mp4"}
        return kept | {"provider": provider, "seconds": seconds, "cost": cost}

    clips = [clip("openai", 4.0, 0.4), clip("openai", 2.5, None), clip("local", None, None)]
    assert summary_of(videos.workload, clips) == {
        "clips": 3,
        "by_provider": {"openai": 2, "local": 1},
        "seconds": 6.5,
        "bytes": 3000,
        "cost": 0.4,
        "max_cost": None,
        "without_cost": 1,
    }
    drawn: Any = summary_of(videos.workload, clips[2:])
    assert (drawn["cost"], drawn["without_cost"]) == (None, 0)
