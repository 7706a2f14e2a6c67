"""A lock of Python packages as pip reads it, and what is missing from one."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
OWN = {"batchyard": ROOT / "pyproject.toml", "batchyard-contracts": ROOT / "contracts" / "pyproject.toml"}
ENVIRONMENTS: tuple[Mapping[str, str], ...] = tuple(
    {
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": system.lower(),
        "platform_system": system,
        "platform_machine": machine,
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
    }
    for python in ("3.11.7", "3.12.1", "3.13.0")
    for system, machine in (("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"))
)
"""The machines that a lock has to serve."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a lock."""

    name: str
    version: Version
    extras: frozenset[str]
    requirement: Requirement


def pins(lock: str) -> list[Pin]:
    """The packages of a lock, given as its text."""
    return [pin for line in lock.splitlines() if (pin := _pin(line)) is not None]


def missing(lock: Iterable[Pin], roots: Iterable[Requirement], environment: Mapping[str, str]) -> set[tuple[str, str]]:
    """The requirements that no pin of the lock satisfies on one machine, each as (who requires it, requirement).

    Extras and markers count. The requirements of a locked package are read from the installed package; a package
    that is not installed in the locked version (one for another system or Python) is taken to require nothing.
    """
    locked = {pin.name: pin for pin in lock if _applies(pin.requirement, environment)}
    absent: set[tuple[str, str]] = set()
    waiting = [("the project", root) for root in roots]
    seen: set[tuple[str, str]] = set()
    while waiting:
        by, requirement = waiting.pop()
        if (by, str(requirement)) in seen or not _applies(requirement, environment):
            continue
        seen.add((by, str(requirement)))
        name = canonicalize_name(requirement.name)
        pin = locked.get(name)
        if name not in OWN and (pin is None or not requirement.specifier.contains(pin.version, prereleases=True)):
            absent.add((by, str(requirement)))
            continue
        waiting += [(name, needed) for needed in requirements(name, frozenset(requirement.extras))]
    return absent


def not_installed(lock: Iterable[Pin]) -> dict[str, str | None]:
    """The packages of a lock that this environment has in another version, or not at all, with what it has."""
    own = [pin for pin in lock if pin.requirement.marker is None or pin.requirement.marker.evaluate()]
    return {pin.name: found for pin in own if (found := _installed(pin.name)) != str(pin.version)}


@cache
def requirements(name: str, extras: frozenset[str]) -> tuple[Requirement, ...]:
    """The requirements of a package with these extras, markers other than those of the extras still attached."""
    if name in OWN:
        return tuple(_of_project(OWN[name], extras))
    try:
        lines = distribution(name).requires or []
    except PackageNotFoundError:
        return ()
    found = [Requirement(line) for line in lines]
    return tuple(each for each in found if any(_mentions(each, extra) for extra in extras | {""}))


def roots(*names: str, extras: Iterable[str] | None = None) -> list[Requirement]:
    """The requirements of the project's own distributions: with these extras, or all, and the build back ends."""
    found = []
    for name in names:
        project = tomllib.loads(OWN[name].read_text("utf-8"))
        chosen = project["project"].get("optional-dependencies", {}) if extras is None else extras
        found += [*_of_project(OWN[name], frozenset(chosen))]
        if extras is None:
            found += map(Requirement, project["build-system"]["requires"])
    return found


def _pin(line: str) -> Pin | None:
    if not line[:1].isalnum():
        return None
    requirement = Requirement(line.rstrip(" \\"))
    (version,) = requirement.specifier
    assert version.operator == "==", line
    return Pin(
        canonicalize_name(requirement.name), Version(version.version), frozenset(requirement.extras), requirement
    )


def _of_project(file: Path, extras: frozenset[str]) -> Iterator[Requirement]:
    project: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))["project"]
    optional: dict[str, list[str]] = project.get("optional-dependencies", {})
    for line in (*project["dependencies"], *(line for extra in sorted(extras) for line in optional[extra])):
        yield Requirement(line)


def _mentions(requirement: Requirement, extra: str) -> bool:
    """Tell whether the requirement holds for this extra on some machine that a lock has to serve."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**machine, "extra": extra}) for machine in ENVIRONMENTS)


def _applies(requirement: Requirement, environment: Mapping[str, str]) -> bool:
    """Tell whether the markers hold on this machine. What `_mentions` chose has a marker on its extra that holds."""
    marker = requirement.marker
    if marker is None:
        return True
    extras = {"", *(part.split("'")[0].split('"')[0] for part in _extras_named(str(marker)))}
    return any(marker.evaluate({**environment, "extra": extra}) for extra in extras)


def _extras_named(marker: str) -> list[str]:
    return [part[1:] for part in marker.split("extra == ")[1:]]


def _installed(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None
