"""The example of each built-in workload runs with the default settings, or the workload says what is missing."""

import os

import jsonschema_rs
import pytest

from services.worker.conformance.bench import Bench
from services.worker.conformance.checks import check
from services.worker.loading.registry import AnyWorkload, find

WORKLOADS = find()
WITHOUT_SETTINGS = {"distances", "http", "noop", "predictions", "tracklists", "videos"}


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BATCHYARD_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=lambda workload: workload.name)
def test_the_example_is_valid_and_not_refused(workload: AnyWorkload) -> None:
    manifest = workload.announcement()
    jsonschema_rs.validator_for(manifest.item_schema).validate(manifest.example)
    refused = [one.reason for one in manifest.refusals if jsonschema_rs.is_valid(one.item_schema, manifest.example)]
    assert refused == []
    assert (manifest.unavailable is None) == (workload.name in WITHOUT_SETTINGS)


@pytest.mark.parametrize("name", ["noop", "tracklists"])
async def test_the_example_passes_the_checks_of_workloads(name: str) -> None:
    found = await check(Bench(WORKLOADS[name], None), None)
    assert [(one.check, one.detail) for one in found if one.mark == "failed"] == []
    assert [one.mark for one in found[:2]] == ["passed", "passed"]
