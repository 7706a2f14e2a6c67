"""Finds the workloads of installed packages, Batchyard's own among them.

A package offers its workloads through the entry-point group `batchyard.workloads`, each entry naming a `Workload`.
"""

from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from typing import Any

from batchyard_contracts.workload import Workload
from services.worker.loading.workload_file import load
from shared.runtime.errors import ConfigurationError

GROUP = "batchyard.workloads"
AnyWorkload = Workload[Any, Any]


def find(names: Sequence[str] = (), only_files: Sequence[str] = ()) -> dict[str, AnyWorkload]:
    """Return workloads by name: all of them, or those named. When files are given, only theirs."""
    found = _in_files(only_files) if only_files else _installed()
    _check("BATCHYARD_WORKER_WORKLOADS", names, found)
    return {name: w for name, w in found.items() if not names or name in names}


def check_names(setting: str, names: Iterable[str], only_files: Sequence[str] = ()) -> None:
    """Raise `ConfigurationError` when a setting names an unknown workload."""
    if names:
        _check(setting, names, find((), only_files))


def _in_files(files: Sequence[str]) -> dict[str, AnyWorkload]:
    found: dict[str, AnyWorkload] = {}
    for file in files:
        for workload in load(file):
            _add(found, workload, file)
    return found


def _installed() -> dict[str, AnyWorkload]:
    found: dict[str, AnyWorkload] = {}
    for entry in entry_points(group=GROUP):
        _add(found, entry.load(), f"entry point {entry.name}")
    if not found:
        raise ConfigurationError(
            f"No installed package offers a workload in the entry-point group {GROUP}. Batchyard's own appear when it "
            "is installed again: touch pyproject.toml && make .venv/.ready"
        )
    return found


def _check(setting: str, names: Iterable[str], found: Iterable[str]) -> None:
    if unknown := set(names) - set(found):
        raise ConfigurationError(f"{setting} names {', '.join(sorted(unknown))}; found are {', '.join(sorted(found))}.")


def _add(found: dict[str, AnyWorkload], workload: object, where: str) -> None:
    if not isinstance(workload, Workload):
        raise ConfigurationError(f"{where} offers no batchyard_contracts.workload.Workload.")
    if workload.name in found:
        raise ConfigurationError(f"Two workloads are named {workload.name!r}; the second is in {where}.")
    try:
        workload.handler_definition  # noqa: B018  said here rather than at its first item
    except TypeError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    found[workload.name] = workload
