"""A row that this version cannot read holds up no other when a dispatcher loads its tables."""

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from batchyard_contracts.v1.manifest import Manifest
from batchyard_contracts.v1.values import Terms
from services.dispatcher.persistence.batch_store import BatchStore
from services.dispatcher.persistence.rate_store import SQL as RATES
from services.dispatcher.persistence.rate_store import RateStore
from services.dispatcher.persistence.statements import SQL

HEADER = {"owner": "a", "workload": "w", "priority": "normal", "stop_cause": None, "reuse": None}


def pool_with(rows: list[dict[str, Any]], wanted: str) -> Any:
    """Return a pool in which one statement returns these rows, and others none."""

    async def fetch(statement: str, *_: object) -> list[dict[str, Any]]:
        return rows if statement == wanted else []

    return cast("Any", SimpleNamespace(fetch=fetch))


@pytest.mark.parametrize(
    ("column", "value"), [("terms", '{"rate":{"per_second":5e-324}}'), ("reuse", '{"cache":"some"}')]
)
async def test_a_batch_whose_terms_cannot_be_read_is_held_back(column: str, value: str) -> None:
    good = HEADER | {"batch_id": UUID(int=1), "terms": '{"rate":{"per_second":2.0}}'}
    bad = HEADER | {"batch_id": UUID(int=2), "terms": None} | {column: value}
    with capture_logs() as logs:
        batches = await BatchStore(pool_with([good, bad], SQL["live_batches"])).live_batches()
    assert [(b.batch_id.int, b.paused, b.unreadable) for b in batches] == [(1, False, ""), (2, True, column)]
    assert batches[1].terms == Terms()
    assert [entry["batch_id"] for entry in logs] == [str(UUID(int=2))]


async def test_a_manifest_that_cannot_be_read_is_left_out() -> None:
    manifest = Manifest(name="w", version="1", item_schema={}, result_schema={})
    rows = [{"name": "v", "manifest": '{"name": 5}'}, {"name": "w", "manifest": manifest.model_dump_json()}]
    assert await BatchStore(pool_with(rows, SQL["manifests"])).manifests() == [manifest]


async def test_an_override_that_cannot_be_read_is_left_out() -> None:
    row = {"workload": "w", "limit_name": "calls", "value": "a", "every": False}
    bad = row | {"terms": '{"rate":{"per_second":-1},"adaptive":null,"concurrency":null}'}
    good = row | {"value": "b", "terms": '{"rate":{"per_second":2},"adaptive":null,"concurrency":null}'}
    saved = await RateStore(pool_with([bad, good], RATES["rate_overrides"])).load(0.0)
    assert list(saved.overrides) == [("w", "calls", "b")]


async def test_a_circuit_that_cannot_be_read_is_left_out() -> None:
    row = {"workload": "w", "limit_name": "calls", "value": "a", "per_second": None, "failed_at": None}
    row |= {"backoff_s": None, "backoff_reason": None}
    bad = row | {"circuit": '{"error": {"code": "NOT A CODE!"}, "opened_at": 1.0, "pause_s": 1.0, "until": 2.0}'}
    good = row | {"value": "b", "circuit": '{"error": null, "opened_at": 1.0, "pause_s": 1.0, "until": 2.0}'}
    saved = await RateStore(pool_with([bad, good], RATES["rates"])).load(0.0)
    assert list(saved.circuits) == [("w", "calls", "b")]


async def test_controls_of_another_version_stop_the_batch_and_nothing_else() -> None:
    rows: list[dict[str, Any]] = [{**HEADER, "batch_id": UUID(int=n), "terms": None} for n in (1, 2, 3)]
    rows[1] |= {"priority": "utmost"}
    rows[2] |= {"stop_cause": "moon_phase"}
    batches = await BatchStore(pool_with(rows, SQL["live_batches"])).live_batches()
    assert [(b.priority, b.stop_reason, b.stop_status) for b in batches] == [
        ("normal", None, None),
        ("normal", None, None),
        ("normal", "internal_error", "cancelled"),
    ]
