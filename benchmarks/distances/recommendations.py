"""Latency over HTTP of a question with one job and a hundred contractors."""

import time
from typing import Any

from benchmarks.cluster import Cluster
from benchmarks.summary import Summary, percentile
from benchmarks.work import WrongResults

CANDIDATES = 100
_WARM_UP = 20


async def measure_recommendations(cluster: Cluster, samples: int, **more: Any) -> dict[str, Any]:
    """Ask one question after the other, each with another job; `more` goes with the question. `in_time`: the share of
    answers that the provider gave by the deadline."""
    took_ms, in_time = [], 0
    for number in range(-_WARM_UP, samples):
        question = {"jobs": [_job(number)], "contractors": [_contractor(n) for n in range(CANDIDATES)], **more}
        began = time.perf_counter()
        async with cluster.http.post("workloads/distances/questions/recommend", json=question) as answer:
            answer.raise_for_status()
            found = await answer.json()
        if number < 0:
            continue
        took_ms.append((time.perf_counter() - began) * 1000)
        in_time += found["in_time"]
        if len(found["jobs"][0]["recommended"]) != 5:
            raise WrongResults(f"Five contractors have to be recommended: {found}")
    return {
        **Summary.of(took_ms).document(),
        "p95": round(percentile(took_ms, 0.95), 1),
        "in_time": round(in_time / samples, 3),
    }


def _job(number: int) -> dict[str, Any]:
    return {
        "id": f"job-{number}",
        "lat": round(39.5 + number % 97 / 500, 4),
        "lon": round(-105.2 + number % 89 / 500, 4),
        "skills": ["gas"],
        "window": {"start": "2026-12-01T08:00:00Z", "end": "2026-12-01T16:00:00Z"},
        "duration_s": 5400,
    }


def _contractor(number: int) -> dict[str, Any]:
    return {
        "id": f"contractor-{number}",
        "lat": round(39.4 + number % 13 / 30, 4),
        "lon": round(-105.3 + number % 17 / 40, 4),
        "skills": ["gas", "water", "heating"][: 1 + number % 3],
        "rating": 2.5 + number % 26 / 10,
        "reviews": number * 3,
        "cost": 60 + number % 40,
        "available": [{"start": f"2026-12-01T{8 + number % 4:02d}:00:00Z", "end": "2026-12-01T17:00:00Z"}],
    }
