"""Answers the questions of the choice of servers about this machine."""

from dataclasses import dataclass, field
from pathlib import Path

from devstack.component import Name
from devstack.docker import engine_answers
from devstack.packages import Packages
from devstack.programs import ProgramFinder


@dataclass(frozen=True)
class Machine:
    """The local machine as `choice.Probes`; tests pass other finders."""

    finder: ProgramFinder = field(default_factory=ProgramFinder)
    packages: Packages = field(default_factory=Packages)
    docker_program: str = "docker"

    def program(self, name: Name) -> Path | None:
        """Find the server program of a component."""
        return self.finder.find(name)

    async def docker(self) -> bool:
        """Tell whether a Docker engine answers."""
        return await engine_answers(self.docker_program)

    def can_install(self) -> bool:
        """Tell whether Debian packages can be installed."""
        return self.packages.can_install()
