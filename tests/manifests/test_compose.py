"""The compose file: valid, complete, and closed to everything but this machine."""

import json
import re
import shutil
import subprocess
from ipaddress import ip_address

import pytest
from compose_spec import PyCompose

from shared.runtime.process import GRACE_S
from tests.support.deployment import ROOT, SERVICES, VARIABLE, VERSION, Json, containers, rendered

SERVERS = ("rabbitmq", "postgres", "redis", "mail")
PORTS = {"rabbitmq": {5672, 15672}, "postgres": {5432}, "redis": {6379}, "mail": {8025}, "ingest": {8000}}
SECONDS = re.compile(r"(\d+)s")


def ports(service: Json) -> list[list[str]]:
    return [port.split(":") for port in service.get("ports", [])]


def test_keeps_the_compose_specification(compose: Json) -> None:
    PyCompose.from_json(json.dumps(compose)).validate()


def test_docker_reads_it_too() -> None:
    docker = shutil.which("docker")
    plugin = docker and subprocess.run([docker, "compose", "version"], capture_output=True, timeout=30, check=False)
    if not docker or not plugin or plugin.returncode:
        pytest.skip("docker has no compose plugin here; the specification is checked all the same")
    done = subprocess.run(
        [docker, "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr


def test_has_every_service(compose: Json) -> None:
    assert set(compose["services"]) == {*SERVERS, *SERVICES}


def test_ports_are_open_on_loopback_alone(compose: Json) -> None:
    for name, service in compose["services"].items():
        assert all(ip_address(address).is_loopback for address, _, _ in ports(service)), name
        assert {int(host) for _, host, _ in ports(service)} == PORTS.get(name, set())


def test_containers_have_no_rights_to_spare(compose: Json) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert service["image"].startswith("batchyard:") or service["user"] not in ("root", "0", "0:0"), name
        assert all(":/" in volume and volume[0] not in "./~" for volume in service.get("volumes", [])), name


def test_containers_are_bounded_and_watched(compose: Json) -> None:
    for name, service in compose["services"].items():
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
        assert service["logging"]["options"]["max-size"], name


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_the_image_and_a_command(compose: Json, name: str) -> None:
    service = compose["services"][name]

    assert service["image"] == f"batchyard:{VERSION}"
    assert service["command"] == ["python", "-m", f"services.{name}"]
    assert service["read_only"] is True
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_waits_for_its_servers_and_may_drain(compose: Json, name: str) -> None:
    service = compose["services"][name]
    used = {"rabbitmq", "postgres", "redis"} | ({"mail"} if name == "notifier" else set())
    grace = SECONDS.fullmatch(service["stop_grace_period"])

    assert service["depends_on"] == {server: {"condition": "service_healthy"} for server in used}
    assert grace
    assert int(grace[1]) >= GRACE_S + 5


def test_the_image_is_built_once(compose: Json) -> None:
    """Several builds of one tag at the same time collide in the engine's image store."""
    built = [name for name, service in compose["services"].items() if "build" in service]

    assert built == ["ingest"]
    assert all(compose["services"][name]["pull_policy"] == "never" for name in SERVICES if name not in built)


def test_workers_can_be_multiplied(compose: Json) -> None:
    worker = compose["services"]["worker"]

    assert worker["deploy"]["replicas"] >= 2
    assert not {"ports", "container_name", "hostname"} & worker.keys()


def test_only_data_that_is_kept_has_volumes(compose: Json) -> None:
    mounted = {
        volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", [])
    }

    assert mounted == set(compose["volumes"]) == {"rabbitmq", "postgres", "exports"}


def test_servers_are_the_same_in_kubernetes(compose: Json) -> None:
    cluster = {container["image"] for name, container in containers(rendered("local")) if name in SERVERS}

    assert cluster == {compose["services"][name]["image"] for name in SERVERS}
    assert all(re.search(r":v?\d+\.\d+[\w.-]*$", image) for image in cluster), "pin at least the minor version"


def test_the_example_environment_shows_every_default() -> None:
    used = {match["name"]: match["default"] for match in VARIABLE.finditer((ROOT / "docker-compose.yml").read_text())}
    shown = dict(re.findall(r"^# (\w+)=(.*)$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))

    assert shown.keys() == used.keys()
    assert {name: value for name, value in shown.items() if used[name] and value} == {
        name: value for name, value in used.items() if value and shown[name]
    }


def test_exports_outlive_their_container(compose: Json) -> None:
    ingest = compose["services"]["ingest"]
    (name, place) = ingest["volumes"][0].split(":")

    assert name in compose["volumes"]
    assert ingest["environment"]["BATCHYARD_EXPORTS_STORE"] == place
