"""Addresses that would not be fetched are refused at submission, and saved pages never."""

import jsonschema_rs
import pytest

from services.worker.workloads.tracklists.policy import refusals

LIVE = {"url": "https://www.1001tracklists.com/tracklist/9demo123/dj.html"}
OTHER = {"url": "http://127.0.0.1:8801/tracklist/9demo123/dj.html"}
SAVED = {"html": "<html></html>"}


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({}, [LIVE, OTHER]),
        ({"BATCHYARD_TRACKLISTS_ORIGINS": "http://127.0.0.1:8801"}, [LIVE]),
        ({"BATCHYARD_TRACKLISTS_LIVE": "true"}, [OTHER]),
        ({"BATCHYARD_TRACKLISTS_LIVE": "true", "BATCHYARD_TRACKLISTS_ORIGINS": "http://127.0.0.1:8801"}, []),
    ],
)
def test_addresses_are_refused_by_the_settings(
    settings: dict[str, str], refused: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BATCHYARD_TRACKLISTS_LIVE", "BATCHYARD_TRACKLISTS_ORIGINS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    validators = [jsonschema_rs.validator_for(one.item_schema) for one in refusals()]
    items = [LIVE, OTHER, SAVED, LIVE | SAVED]
    assert [item for item in items if any(one.is_valid(item) for one in validators)] == refused
    assert all("BATCHYARD_TRACKLISTS_LIVE=true" in one.reason for one in refusals())


@pytest.mark.parametrize("origin", ["https://WWW.1001Tracklists.com", "https://www.1001tracklists.com:443"])
def test_an_address_is_the_same_however_its_host_and_port_are_written(
    origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHYARD_TRACKLISTS_LIVE", "true")
    item = {"url": f"{origin}/tracklist/9demo123/dj.html"}
    assert not any(jsonschema_rs.validator_for(one.item_schema).is_valid(item) for one in refusals())
