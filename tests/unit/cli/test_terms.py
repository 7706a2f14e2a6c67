"""Rates, spans and bounds as people write them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from batchyard_contracts.v1.values import Terms
from services.cli.errors import BadInput
from services.cli.terms import Said

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
        (Said(deadline="1.5h"), {"deadline": "2026-11-22T13:30:00+00:00"}),
        (Said(deadline="2026-12-24T18:00:00+00:00"), {"deadline": "2026-12-24T18:00:00+00:00"}),
        (
            Said(fail_after=["100", "12.5%", "captcha=5"]),
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
        Said(fail_after=["1.5"]),
        Said(fail_after=["captcha=10%"]),
        Said(fail_after=["Captcha=1"]),
        Said(fail_after=[""]),
    ],
)
def test_refused(said: Said) -> None:
    with pytest.raises(BadInput):
        said.fields(NOW)
