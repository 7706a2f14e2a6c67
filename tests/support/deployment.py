"""Reads the deployment files with their own tools, without an engine or a cluster."""

import re
import shutil
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
SERVICES = ("ingest", "dispatcher", "worker", "aggregator", "notifier")
OVERLAYS = ("local", "production")
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^}]*)\}")


@cache
def compose_file() -> Json:
    """Return the compose file as it is with an empty environment: every variable has its default."""
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    content: Json = yaml.safe_load(VARIABLE.sub(lambda variable: variable["default"], text))
    return content


@cache
def rendered(overlay: str) -> list[Json]:
    """Return the objects that kustomize builds from an overlay."""
    text = run_tool("kubectl", "kustomize", f"k8s/overlays/{overlay}")
    return [document for document in yaml.safe_load_all(text) if document]


def run_tool(name: str, *argv: str) -> str:
    """Run a tool of the development extra in the project's folder; fail with its error output."""
    program = shutil.which(name, path=sysconfig.get_path("scripts"))
    assert program, f"{name} is not installed: it comes with the development extra, in requirements.lock"
    done = subprocess.run([program, *argv], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def of_kind(objects: list[Json], *kinds: str) -> dict[str, Json]:
    """Return the objects of some kinds, by name."""
    return {found["metadata"]["name"]: found for found in objects if found["kind"] in kinds}


def pods(objects: list[Json]) -> dict[str, Json]:
    """Return the pod template of each workload, by the workload's name."""
    return {name: found["spec"]["template"] for name, found in of_kind(objects, "Deployment", "StatefulSet").items()}


def containers(objects: list[Json]) -> Iterator[tuple[str, Json]]:
    """Yield each container, init containers too, with its workload's name."""
    for name, pod in pods(objects).items():
        for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
            yield name, container
