"""What is particular to each kind of private server; what they have in common is in `private.py`."""

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
    """How one kind of server is prepared, started, recognised and stopped."""

    @property
    def name(self) -> Name:
        """The component."""
        ...

    @property
    def port_names(self) -> tuple[str, ...]:
        """The ports that it needs; clients use the first."""
        ...

    @property
    def process_names(self) -> frozenset[str]:
        """How the system names its processes."""
        ...

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders right below which it may keep its data."""
        ...

    @property
    def stop_signal(self) -> Signals:
        """The signal that makes it end in good order, dropping its clients."""
        ...

    @property
    def log(self) -> Path:
        """Where it writes what it does."""
        ...

    async def prepare(self, ports: Ports) -> Launch:
        """Write its configuration and data folder, as far as they are missing."""
        ...

    def main(self, launched: psutil.Process) -> psutil.Process:
        """Give the process that is the server, from the one that was started."""
        ...

    def first_url(self, ports: Ports) -> str:
        """Give the address at which it is known to answer from the very first start."""
        ...

    def url(self, ports: Ports) -> str:
        """Give the address for clients."""
        ...

    async def settle(self, ports: Ports) -> None:
        """Finish once it answers: create what clients expect to find."""
        ...


def bare_environment(mark: str, home: Path) -> dict[str, str]:
    """Give an environment in which no setting of the machine or of the caller reaches a private server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(home), MARK: mark}
