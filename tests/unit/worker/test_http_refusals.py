"""Calls that can never run with the workers' settings are announced, so that they are refused at submission."""

import jsonschema_rs
import pytest

from services.worker.workloads.http import workload

NETWORKS, CREDENTIALS = "BATCHYARD_HTTP_CALLS_ALLOWED_NETWORKS", "BATCHYARD_HTTP_CALLS_CREDENTIALS"
CALL = {"url": "https://example.org/"}


@pytest.mark.parametrize(("setting", "networks"), [("", []), ("127.0.0.0/8, ::1/128", ["127.0.0.0/8", "::1/128"])])
def test_the_networks_that_calls_may_reach_are_announced(
    setting: str, networks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NETWORKS, setting)
    egress = workload.announcement().egress
    assert egress is not None
    assert (egress.pointer, egress.networks) == ("/url", networks)
    assert NETWORKS in egress.setting


@pytest.mark.parametrize(
    ("setting", "refused"), [("", True), ('{"crm": {"origin": "https://example.org", "headers": {}}}', False)]
)
def test_a_credential_is_refused_where_the_operator_keeps_none(
    setting: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CREDENTIALS, setting)
    found = workload.announcement().refusals
    schemas = [jsonschema_rs.validator_for(one.item_schema) for one in found]
    assert any(schema.is_valid(CALL | {"credential": "crm"}) for schema in schemas) == refused
    assert not any(schema.is_valid(call) for schema in schemas for call in (CALL, CALL | {"credential": None}))
    assert all(CREDENTIALS in one.reason for one in found)
