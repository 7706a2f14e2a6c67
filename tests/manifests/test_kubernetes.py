"""Objects that kustomize renders: they are valid, their pods are restricted, and their names meet."""

import re
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from shared.runtime.process import GRACE_S
from tests.support.deployment import ROOT, SERVICES, VERSION, Json, containers, of_kind, pods, rendered

# The oldest version with all that is used here (the pause before a stop), and the newest one known.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
REPLICAS = {"ingest": 2, "dispatcher": 2, "worker": 2, "aggregator": 1, "notifier": 1}


def secrets_of(pod: Json) -> set[tuple[str, str]]:
    """The (name, key) of each value that a pod takes from a Secret; it cannot start without any of them."""
    entries = [entry for container in pod["spec"]["containers"] for entry in container.get("env", [])]
    found = [entry["valueFrom"]["secretKeyRef"] for entry in entries if "valueFrom" in entry]
    assert not any(reference.get("optional") for reference in found), "no service may start without its Secret"
    mounted = [volume["secret"] for volume in pod["spec"].get("volumes", []) if "secret" in volume]
    return {(reference["name"], reference["key"]) for reference in found} | {
        (secret["secretName"], item["key"]) for secret in mounted for item in secret["items"]
    }


def service(objects: list[Json], name: str) -> Any:
    (container,) = pods(objects)[name]["spec"]["containers"]
    return container


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid(objects: list[Json], version: str) -> None:
    for found in objects:
        kubernetes_validate.validate(found, version, strict=True)


def test_all_is_in_one_namespace_that_admits_restricted_pods_alone(objects: list[Json]) -> None:
    (namespace,) = of_kind(objects, "Namespace").values()
    others = {found["metadata"].get("namespace") for found in objects if found["kind"] != "Namespace"}

    assert others == {namespace["metadata"]["name"]}
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pods_are_restricted(objects: list[Json]) -> None:
    for name, pod in pods(objects).items():
        spec, security = pod["spec"], pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert all(
            volume.keys() <= {"name", "emptyDir", "secret", "configMap", "persistentVolumeClaim"}
            for volume in spec.get("volumes", [])
        ), name


def test_containers_are_restricted_and_bounded(objects: list[Json]) -> None:
    for name, container in containers(objects):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["readOnlyRootFilesystem"] is True, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}, name
        assert {"livenessProbe", "readinessProbe"} <= container.keys(), name
        assert re.search(r":v?\d+\.\d+[\w.-]*$|@sha256:", container["image"]), f"{name}: pin the image"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_the_image_and_a_command(objects: list[Json], name: str) -> None:
    container = service(objects, name)
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}

    assert container["image"].split("/")[-1] == f"batchyard:{VERSION}"
    assert container["command"] == ["python", "-m", f"services.{name}"]
    assert probes == {
        "startup": {"path": "/livez", "port": "health"},
        "liveness": {"path": "/livez", "port": "health"},
        "readiness": {"path": "/readyz", "port": "health"},
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_drain(objects: list[Json], name: str) -> None:
    pause = service(objects, name).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)

    assert pods(objects)[name]["spec"]["terminationGracePeriodSeconds"] >= pause + GRACE_S + 5


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_survives_the_loss_of_a_node(objects: list[Json], name: str) -> None:
    deployment = of_kind(objects, "Deployment")[name]["spec"]
    budget = of_kind(objects, "PodDisruptionBudget")[name]["spec"]
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]

    assert deployment["replicas"] >= REPLICAS[name]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == deployment["selector"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["labelSelector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()


def test_selectors_choose_one_workload_each(objects: list[Json]) -> None:
    workloads = of_kind(objects, "Deployment", "StatefulSet")
    wanted = {name: found["spec"]["selector"]["matchLabels"] for name, found in workloads.items()}
    wanted |= {f"service {name}": found["spec"]["selector"] for name, found in of_kind(objects, "Service").items()}

    for name, labels in wanted.items():
        chosen = [other for other, pod in pods(objects).items() if labels.items() <= pod["metadata"]["labels"].items()]
        assert chosen == [name.removeprefix("service ")]


def test_service_ports_exist(objects: list[Json]) -> None:
    for name, found in of_kind(objects, "Service").items():
        offered = {
            port["name"] for container in pods(objects)[name]["spec"]["containers"] for port in container["ports"]
        }
        assert {port["targetPort"] for port in found["spec"]["ports"]} <= offered


def test_local_secrets_are_all_made_there() -> None:
    objects = rendered("local")
    made = {(name, key) for name, found in of_kind(objects, "Secret").items() for key in found["data"]}

    assert set().union(*(secrets_of(pod) for pod in pods(objects).values())) == made


def test_production_asks_for_the_secrets_that_its_header_lists() -> None:
    objects = rendered("production")
    header = (ROOT / "k8s/overlays/production/kustomization.yaml").read_text("utf-8")
    listed = {
        (name, key)
        for name, keys in re.findall(r"^#   (batchyard-\w+) +(.+)$", header, re.MULTILINE)
        for key in re.sub(r"\(.*?\)", "", keys).split()
    }

    assert not of_kind(objects, "Secret"), "production carries no secret"
    assert set().union(*(secrets_of(pod) for pod in pods(objects).values())) == listed


def test_each_service_signs_in_as_itself(objects: list[Json]) -> None:
    for name in SERVICES:
        # A Secret that kustomize makes has a hash of its content behind its name.
        wanted = re.compile(rf"batchyard-{name}(-[0-9a-z]{{10}})?")
        assert all(wanted.fullmatch(secret) for secret, _ in secrets_of(pods(objects)[name]))


def test_configuration_is_made_where_it_is_used(objects: list[Json]) -> None:
    made = of_kind(objects, "ConfigMap").keys()

    for name in SERVICES:
        assert {source["configMapRef"]["name"] for source in service(objects, name)["envFrom"]} <= made


def test_replicas_share_a_volume_for_exports(objects: list[Json]) -> None:
    pod, claims = pods(objects)["ingest"]["spec"], of_kind(objects, "PersistentVolumeClaim")
    (mount,) = [mount for mount in service(objects, "ingest")["volumeMounts"] if mount["name"] == "exports"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "exports"]
    settings = {entry["name"]: entry.get("value") for entry in service(objects, "ingest")["env"]}

    assert volume["persistentVolumeClaim"]["claimName"] in claims
    assert settings["BATCHYARD_EXPORTS_STORE"] == mount["mountPath"]
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    assert "tmp" in {mount["name"] for mount in service(objects, "ingest")["volumeMounts"]}
