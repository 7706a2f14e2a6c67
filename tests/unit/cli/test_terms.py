"""Rates, spans and bounds as people write them."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from batchyard_contracts.v1.values import Terms
from services.cli.client import documents
from services.cli.errors import BadInput
from services.cli.parsing.terms import TermOptions
from services.cli.rendering.term_rows import term_rows

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        (TermOptions(), {}),
        (TermOptions(weight=3, concurrency=5), {"weight": 3, "concurrency": 5}),
        (TermOptions(rate="20/s"), {"rate": {"per_second": 20.0, "burst": 2}}),
        (TermOptions(rate="30/min"), {"rate": {"per_second": 0.5, "burst": 1}}),
        (TermOptions(cache="refresh", dedup="attach"), {"cache": "refresh", "dedup": {"mode": "attach"}}),
        (TermOptions(dedup="reject", dedup_ttl="1h"), {"dedup": {"mode": "reject", "ttl_s": 3600}}),
        (TermOptions(retry=["captcha=1"]), {"retry": {"captcha": {"attempts": 1}}}),
        (
            TermOptions(retry=["default=8", "http_503=6,2s,5min"]),
            {"retry": {"default": {"attempts": 8}, "http_503": {"attempts": 6, "base_s": 2, "cap_s": 300}}},
        ),
        (TermOptions(not_before="1.5h"), {"not_before": "2026-11-22T13:30:00+00:00"}),
        (TermOptions(deadline="1.5h"), {"deadline": "2026-11-22T13:30:00+00:00"}),
        (TermOptions(deadline="2026-12-24T18:00:00+00:00"), {"deadline": "2026-12-24T18:00:00+00:00"}),
        (
            TermOptions(failure_threshold=["100", "12.5%", "captcha=5"]),
            {"failure_threshold": {"count": 100, "share": 0.125, "codes": {"captcha": 5}}},
        ),
    ],
)
def test_read(said: TermOptions, fields: dict[str, Any]) -> None:
    found = said.fields(NOW)
    assert Terms.model_validate(found) == Terms.model_validate(fields)


@pytest.mark.parametrize(
    "said",
    [
        TermOptions(rate="20"),
        TermOptions(rate="0/s"),
        TermOptions(rate="20/day"),
        TermOptions(deadline="soon"),
        TermOptions(deadline="-1h"),
        TermOptions(failure_threshold=["1.5"]),
        TermOptions(failure_threshold=["captcha=10%"]),
        TermOptions(failure_threshold=["Captcha=1"]),
        TermOptions(failure_threshold=[""]),
        TermOptions(failure_threshold=["100%"]),
        TermOptions(retry=["http_503"]),
        TermOptions(retry=["http_503=0"]),
        TermOptions(retry=["http_503=101"]),
        TermOptions(retry=["http_503=3,2"]),
        TermOptions(retry=["http_503=3,2s,5min,9h"]),
        TermOptions(retry=["HTTP=3"]),
        TermOptions(dedup="reject", dedup_ttl="31d"),
    ],
)
def test_refused(said: TermOptions) -> None:
    with pytest.raises(BadInput):
        said.fields(NOW)


def test_shown_as_they_are_written() -> None:
    said = TermOptions(
        weight=3, rate="30/min", concurrency=5, failure_threshold=["100", "12.5%", "captcha=5"],
        retry=["captcha=1", "http_503=6,2s,5min"],
    )  # fmt: skip
    assert term_rows(msgspec.convert(said.fields(NOW), documents.Terms)) == [
        ("weight", "3"),
        ("rate limit", "0.5/s, burst 1"),
        ("concurrency", "5"),
        ("failure threshold", "100, 12.5%, captcha=5"),
        ("retry", "captcha: 1 attempt, no retry; http_503: up to 6 attempts, 2 s to 300 s apart"),
    ]
    assert [name for name, _ in term_rows(documents.Terms(deadline=NOW))] == ["deadline"]
    assert term_rows(documents.Terms()) == []
