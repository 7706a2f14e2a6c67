"""Interface of the specifics of each kind of private server; `private.py` has the common part."""

import os
from collections.abc import Mapping
from pathlib import Path
from signal import Signals
from typing import Protocol

import psutil

from devstack.component import Name
from devstack.launch import Launch
from devstack.processes import MARK

Ports = Mapping[str, int]


class Recipe(Protocol):
    """Specifics of one kind of server: preparation, start, processes and stop."""

    @property
    def name(self) -> Name:
        """The component."""
        ...

    @property
    def port_names(self) -> tuple[str, ...]:
        """Names of its ports; clients use the first."""
        ...

    @property
    def process_names(self) -> frozenset[str]:
        """Names of its processes in the process table."""
        ...

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders right below which its data may be."""
        ...

    @property
    def stop_signal(self) -> Signals:
        """Signal for a clean shutdown that disconnects clients."""
        ...

    @property
    def log(self) -> Path:
        """Log file."""
        ...

    async def prepare(self, ports: Ports) -> Launch:
        """Create its configuration and data folder if they are missing."""
        ...

    def main(self, launched: psutil.Process) -> psutil.Process:
        """Return the server's main process, given the started one."""
        ...

    def first_url(self, ports: Ports) -> str:
        """Return an address that answers even on the first start."""
        ...

    def url(self, ports: Ports) -> str:
        """Return the address for clients."""
        ...

    async def initialize(self, ports: Ports) -> None:
        """Create the objects that clients expect, once the server answers."""
        ...


def bare_environment(mark: str, home: Path) -> dict[str, str]:
    """Return an environment without the settings of the machine and the caller."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(home), MARK: mark}
