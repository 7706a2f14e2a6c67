"""Rates, spans and bounds as people write them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from batchyard_contracts.v1.values import Terms
from services.cli.errors import BadInput
from services.cli.parsing.terms import Said, term_rows

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        (Said(), {}),
        (Said(weight=3, concurrency=5), {"weight": 3, "concurrency": 5}),
        (Said(rate="20/s"), {"rate": {"per_second": 20.0, "burst": 2}}),
        (Said(rate="30/min"), {"rate": {"per_second": 0.5, "burst": 1}}),
        (Said(cache="refresh", dedup="attach"), {"cache": "refresh", "dedup": {"mode": "attach"}}),
        (Said(dedup="reject", dedup_ttl="1h"), {"dedup": {"mode": "reject", "ttl_s": 3600}}),
        (Said(retry=["captcha=1"]), {"retry": {"captcha": {"attempts": 1}}}),
        (
            Said(retry=["default=8", "http_503=6,2s,5min"]),
            {"retry": {"default": {"attempts": 8}, "http_503": {"attempts": 6, "base_s": 2, "cap_s": 300}}},
        ),
        (Said(deadline="1.5h"), {"deadline": "2026-11-22T13:30:00+00:00"}),
        (Said(deadline="2026-12-24T18:00:00+00:00"), {"deadline": "2026-12-24T18:00:00+00:00"}),
        (
            Said(failure_threshold=["100", "12.5%", "captcha=5"]),
            {"failure_threshold": {"count": 100, "share": 0.125, "codes": {"captcha": 5}}},
        ),
    ],
)
def test_read(said: Said, fields: dict[str, Any]) -> None:
    found = said.fields(NOW)
    assert Terms.model_validate(found) == Terms.model_validate(fields)


@pytest.mark.parametrize(
    "said",
    [
        Said(rate="20"),
        Said(rate="0/s"),
        Said(rate="20/day"),
        Said(deadline="soon"),
        Said(deadline="-1h"),
        Said(failure_threshold=["1.5"]),
        Said(failure_threshold=["captcha=10%"]),
        Said(failure_threshold=["Captcha=1"]),
        Said(failure_threshold=[""]),
        Said(failure_threshold=["100%"]),
        Said(retry=["http_503"]),
        Said(retry=["http_503=0"]),
        Said(retry=["http_503=101"]),
        Said(retry=["http_503=3,2"]),
        Said(retry=["http_503=3,2s,5min,9h"]),
        Said(retry=["HTTP=3"]),
        Said(dedup="reject", dedup_ttl="31d"),
    ],
)
def test_refused(said: Said) -> None:
    with pytest.raises(BadInput):
        said.fields(NOW)


def test_shown_as_they_are_written() -> None:
    said = Said(
        weight=3, rate="30/min", concurrency=5, failure_threshold=["100", "12.5%", "captcha=5"],
        retry=["captcha=1", "http_503=6,2s,5min"],
    )  # fmt: skip
    assert term_rows(Terms.model_validate(said.fields(NOW))) == [
        ("weight", "3"),
        ("rate limit", "0.5/s, 1 at once"),
        ("concurrency", "5"),
        ("failure threshold", "100, 12.5%, captcha=5"),
        ("retry", "captcha never, http_503 up to 6 attempts (2 s, at most 300 s apart)"),
    ]
    assert [name for name, _ in term_rows(Terms(deadline=NOW))] == ["deadline"]
    assert term_rows(Terms()) == []
