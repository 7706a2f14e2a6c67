"""The locks of npm are closed: each package by its hash, and none by an address, from a repository or from a folder."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.lock import ROOT


def locks() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "*package-lock.json"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    return [Path(name) for name in listed.split("\0") if name]


def faults(lock: dict[str, Any]) -> list[str]:
    """The packages of a lock that npm would not check by a hash, or take from elsewhere than the registry."""
    found = []
    for name, package in lock["packages"].items():
        if name == "":
            found += [f"{each}: {wanted}" for each, wanted in _wanted(package) if ":" in wanted or "/" in wanted]
        elif not package.get("integrity", "").startswith("sha512-"):
            found.append(f"{name}: no hash")
        elif "resolved" in package or package.get("link"):
            found.append(f"{name}: an address")
    return found


def gaps(lock: dict[str, Any]) -> set[str]:
    """Dependencies that no package of a lock satisfies."""
    packages = lock["packages"]
    found = set()
    for place, package in packages.items():
        for name, _ in _wanted(package):
            folders = place.split("/node_modules/")
            above = ["/node_modules/".join(folders[:count]) for count in range(len(folders), 0, -1)]
            if not any(f"{folder}/node_modules/{name}".lstrip("/") in packages for folder in (*above, "")):
                found.add(f"{place or 'package.json'} wants {name}")
    return found


def _wanted(package: dict[str, Any]) -> list[tuple[str, str]]:
    kinds = ("dependencies", "devDependencies") if "name" in package else ("dependencies",)
    return [pair for kind in kinds for pair in package.get(kind, {}).items()]


def test_the_lock_of_the_dashboard_is_among_them() -> None:
    assert Path("dashboard/package-lock.json") in locks()


@pytest.mark.parametrize("path", locks(), ids=str)
def test_each_package_is_locked_by_its_hash_alone(path: Path) -> None:
    assert faults(json.loads((ROOT / path).read_text("utf-8"))) == []


def test_the_lock_of_the_dashboard_is_complete_and_exact() -> None:
    lock = json.loads((ROOT / "dashboard/package-lock.json").read_text("utf-8"))
    package = json.loads((ROOT / "dashboard/package.json").read_text("utf-8"))
    own = lock["packages"][""]
    assert gaps(lock) == set()
    for kind in ("dependencies", "devDependencies"):
        assert own[kind] == package[kind]
        versions = {name: lock["packages"][f"node_modules/{name}"]["version"] for name in package[kind]}
        assert package[kind] == versions, "write each version exactly"


def test_no_package_of_the_dashboard_wants_to_run_a_script() -> None:
    lock = json.loads((ROOT / "dashboard/package-lock.json").read_text("utf-8"))
    wanting = {name for name, package in lock["packages"].items() if package.get("hasInstallScript")}
    assert wanting <= {"node_modules/fsevents"}
    assert "ignore-scripts=true" in (ROOT / "dashboard/.npmrc").read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("node_modules/a", {"version": "1.0.0"}),
        ("node_modules/a", {"version": "1.0.0", "integrity": "sha1-abc"}),
        ("node_modules/a", {"version": "1.0.0", "integrity": "sha512-abc", "resolved": "https://example.org/a.tgz"}),
        ("node_modules/a", {"resolved": "git+ssh://git@example.org/a.git"}),
        ("", {"name": "own", "dependencies": {"a": "git+https://example.org/a.git"}}),
        ("", {"name": "own", "devDependencies": {"a": "someone/a"}}),
    ],
)
def test_a_package_from_elsewhere_is_found(name: str, package: dict[str, Any]) -> None:
    assert faults({"packages": {name: package}})
