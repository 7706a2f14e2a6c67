"""The programs of a local cluster and their variables, and the message where the demo cannot run."""

import stat
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from devstack import Servers
from services.cli.actions import demo
from services.cli.actions.demo import run_demo
from services.cli.errors import NotFound
from services.cli.local_cluster import SERVICES, Plan, programs, webhook_secret, with_lease_keys

SERVERS = Servers("amqp://a/", "postgresql://b/", "redis://c/")


def test_every_service_is_a_process_with_its_own_health_port(tmp_path: Path) -> None:
    started = programs(Plan(tmp_path, workers=2, environment={"X": "y"}), SERVERS, 8123)
    assert [program.name for program in started] == [
        "ingest", "dispatcher", "aggregator", "notifier", "worker-1", "worker-2",
    ]  # fmt: skip
    assert {program.argv[-1] for program in started} == {
        "services.ingest", "services.dispatcher", "services.aggregator", "services.notifier", "services.worker",
    }  # fmt: skip
    assert len({program.env["BATCHYARD_HEALTH_PORT"] for program in started}) == len(started)
    for program in started:
        assert program.env["BATCHYARD_AMQP_URL"] == "amqp://a/"
        assert program.env["X"] == "y"
        assert program.ready_url == f"http://127.0.0.1:{program.env['BATCHYARD_HEALTH_PORT']}/readyz"
    assert started[0].env["BATCHYARD_HTTP_PORT"] == "8123"
    assert started[3].env["BATCHYARD_PUBLIC_URL"] == "http://127.0.0.1:8123"


def test_a_service_gets_the_addresses_of_its_own_accounts_and_of_no_other(tmp_path: Path) -> None:
    accounts = {name: {"BATCHYARD_AMQP_URL": f"amqp://h/{name}-secret"} for name in SERVICES}
    accounts["ingest"]["BATCHYARD_DATABASE_URL"] = "postgresql://h/ingest-secret"
    accounts |= {"operator": {"BATCHYARD_AMQP_URL": "amqp://h/operator-secret"}}
    for program in programs(Plan(tmp_path, workers=2, accounts=accounts), SERVERS, 8123):
        service = program.name.partition("-")[0]
        text = "\n".join(program.env.values())
        assert {name for name in accounts if f"{name}-secret" in text} == {service}
        assert not any(address in program.env.values() for address in SERVERS.environment().values())
        assert ("BATCHYARD_DATABASE_URL" in program.env) == (service == "ingest")


def test_no_worker_gets_the_key_of_lease_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCHYARD_LEASE_KEYS", raising=False)
    accounts = {name: {"BATCHYARD_AMQP_URL": f"amqp://h/{name}"} for name in SERVICES}
    found = with_lease_keys(tmp_path, accounts)
    assert found == with_lease_keys(tmp_path, accounts)
    assert {name for name in found if "BATCHYARD_LEASE_KEYS" in found[name]} == {"dispatcher", "aggregator"}
    assert found["dispatcher"]["BATCHYARD_LEASE_KEYS"] == found["aggregator"]["BATCHYARD_LEASE_KEYS"]
    started = programs(Plan(tmp_path, accounts=found), SERVERS, 8123)
    key = found["dispatcher"]["BATCHYARD_LEASE_KEYS"]
    assert [program.name for program in started if key in program.env.values()] == ["dispatcher", "aggregator"]


def test_a_webhook_secret_is_made_once_and_kept_to_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCHYARD_WEBHOOK_SECRET", raising=False)
    secret = webhook_secret(tmp_path / "home")
    assert webhook_secret(tmp_path / "home") == secret
    assert stat.S_IMODE((tmp_path / "home" / "webhook-secret").stat().st_mode) == 0o600
    Webhook(secret)
    monkeypatch.setenv("BATCHYARD_WEBHOOK_SECRET", "whsec_given")
    assert webhook_secret(tmp_path / "home") == "whsec_given"


def test_the_demo_says_that_it_needs_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_CHECKOUT", tmp_path)
    with pytest.raises(NotFound, match="not in"):
        run_demo(None)
