"""For how long an answer asks to be left alone."""

from datetime import UTC, datetime

import pytest
from multidict import CIMultiDict

from shared.retry_after import asked_pause_s

NOW = datetime(2026, 5, 16, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({}, None),
        ({"Retry-After": "5"}, 5.0),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"retry-after-ms": "-1", "Retry-After": "3"}, 3.0),
        ({"Retry-After": "soon", "RateLimit": '"default";r=0;t=30'}, 30.0),
        ({"RateLimit": '"a";r=0;t=3, "b";r=0;t=60;pk=:c2Nvd2w=:, "c";r=5;t=900'}, 60.0),
        ({"RateLimit": '"a";r=2;t=30'}, None),
        ({"RateLimit": "nonsense;;;r=0;t=x"}, None),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "12"}, 12.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 90)}, 90.0),
        ({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "90"}, None),
        ({"X-RateLimit-Reset": "1e300"}, 86_400.0),
        ({"X-RateLimit-Reset": "inf"}, None),
    ],
)
def test_pauses(headers: dict[str, str], pause_s: float | None) -> None:
    assert asked_pause_s(CIMultiDict(headers), NOW) == pause_s
