"""Variables that the deployment files set are the ones that the services read, by name and by value."""

import base64
from importlib import import_module
from importlib.util import find_spec

import pytest
from yarl import URL

from devstack import rights_files
from devstack.settings_page import variable
from shared.postgres.roles import SERVICES as DATABASES
from shared.redis.acl import KEYS
from shared.runtime.settings import Settings
from tests.support.deployment import SERVICES, Json, compose_file, of_kind, pods, rendered

PREFIX = "BATCHYARD_"
ADDRESSES = ("BATCHYARD_AMQP_URL", "BATCHYARD_DATABASE_URL", "BATCHYARD_REDIS_URL")

LEASES = "BATCHYARD_LEASE_KEYS"


def settings_of(service: str) -> type[Settings]:
    """The class that a service reads its environment into: its own, or everybody's if it has none."""
    if find_spec(f"services.{service}.settings") is None:
        return Settings
    module = import_module(f"services.{service}.settings")
    classes = [
        found for found in vars(module).values() if isinstance(found, type) and found.__module__ == module.__name__
    ]
    (own,) = [found for found in classes if issubclass(found, Settings)]
    return own


def in_compose(service: str) -> dict[str, str]:
    environment: dict[str, str] = compose_file()["services"][service]["environment"]
    return environment


def in_cluster(overlay: str, service: str) -> dict[str, str | None]:
    """A service's environment; None where the value is in a Secret that the overlay does not carry."""
    objects = rendered(overlay)
    secrets, maps = of_kind(objects, "Secret"), of_kind(objects, "ConfigMap")
    (container,) = pods(objects)[service]["spec"]["containers"]
    found: dict[str, str | None] = {}
    for source in container["envFrom"]:
        found |= maps[source["configMapRef"]["name"]]["data"]
    for entry in container["env"]:
        found[entry["name"]] = entry["value"] if "value" in entry else secret(secrets, **entry["valueFrom"])
    return found


def secret(secrets: dict[str, Json], secretKeyRef: Json) -> str | None:  # noqa: N803  Kubernetes' own name
    data = secrets.get(secretKeyRef["name"], {}).get("data", {})
    encoded = data.get(secretKeyRef["key"])
    return None if encoded is None else base64.b64decode(encoded).decode()


def unknown(service: str, names: set[str]) -> set[str]:
    owner = settings_of(service)
    fields = {variable(owner, name) for name in owner.model_fields}
    return {name for name in names if name.startswith(PREFIX)} - fields


@pytest.mark.parametrize("service", SERVICES)
def test_compose_sets_nothing_that_is_not_read(service: str) -> None:
    assert not unknown(service, set(in_compose(service)))


@pytest.mark.parametrize("service", SERVICES)
def test_kubernetes_sets_nothing_that_is_not_read(overlay: str, service: str) -> None:
    assert not unknown(service, set(in_cluster(overlay, service)))


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("where", ["compose", "local"])
def test_values_are_accepted(service: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = in_compose(service) if where == "compose" else in_cluster("local", service)
    for name, value in environment.items():
        if value is not None:
            monkeypatch.setenv(name, value)

    settings = settings_of(service)()

    assert (settings.health_host, settings.health_port) == ("0.0.0.0", 8080)
    assert "@rabbitmq:5672" in settings.amqp_url


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_told_where_its_servers_are(service: str, overlay: str) -> None:
    needed = {"BATCHYARD_AMQP_URL"}
    needed |= {"BATCHYARD_DATABASE_URL"} if service in DATABASES else set()
    needed |= {"BATCHYARD_REDIS_URL"} if service in KEYS else set()

    for environment in (in_compose(service), in_cluster(overlay, service)):
        assert {name for name in environment if name in ADDRESSES} == needed


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("where", ["compose", "local"])
def test_every_service_has_users_of_its_own_and_declares_nothing(service: str, where: str) -> None:
    environment = in_compose(service) if where == "compose" else in_cluster(where, service)
    users = {name: URL(environment[name] or "").user for name in ADDRESSES if name in environment}

    assert users["BATCHYARD_AMQP_URL"] == service
    assert users.get("BATCHYARD_DATABASE_URL", f"batchyard_{service}") == f"batchyard_{service}"
    assert users.get("BATCHYARD_REDIS_URL", service) == service
    assert environment["BATCHYARD_TOPOLOGY"] == "check"
    assert ("BATCHYARD_TOPOLOGY_AMQP_URL" in environment) == (service == "ingest")


@pytest.mark.parametrize("where", ["compose", "local", "production"])
def test_dispatcher_and_aggregator_share_a_key_that_workers_do_not_know(where: str) -> None:
    environments = {name: in_compose(name) if where == "compose" else in_cluster(where, name) for name in SERVICES}

    found = {name: environment[LEASES] for name, environment in environments.items() if LEASES in environment}

    assert found.keys() == {"dispatcher", "aggregator"}
    assert found["dispatcher"] == found["aggregator"]
    assert found["dispatcher"] or where == "production"


def test_the_servers_of_development_start_with_files_that_are_current() -> None:
    assert rights_files.main(["--check"]) == 0
