"""Loads the workloads of a single file, so that it can be tried out before it is a package."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from batchyard_contracts.workload import Workload
from shared.runtime.errors import ConfigurationError


def load(name: str) -> list[Workload[Any, Any]]:
    """Return the workloads that a file defines. It is imported under its own name and from its own folder, as child
    processes do.

    Raises `ConfigurationError` when the import fails or the file defines none.
    """
    file = Path(name).resolve()
    if not file.is_file():
        raise ConfigurationError(f"There is no file {name}.")
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise ConfigurationError(f"{name} cannot be imported: give it a name like my_work.py.")
    known = find_spec(file.stem)
    if known is not None and (known.origin is None or Path(known.origin).resolve() != file):
        raise ConfigurationError(f"A module {file.stem!r} exists already ({known.origin}): rename {name}.")
    if known is None:
        sys.path.insert(0, str(file.parent))
    try:
        module = import_module(file.stem)
    except Exception as error:
        raise ConfigurationError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    found = list({id(value): value for value in vars(module).values() if isinstance(value, Workload)}.values())
    if not found:
        raise ConfigurationError(f"{name} defines no batchyard_contracts.workload.Workload.")
    return found
