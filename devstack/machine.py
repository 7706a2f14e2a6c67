"""This machine, as far as the choice of servers asks about it."""

from dataclasses import dataclass, field
from pathlib import Path

from devstack.component import Name
from devstack.docker import engine_answers
from devstack.packages import Packages
from devstack.programs import ProgramFinder


@dataclass(frozen=True)
class Machine:
    """Answers the questions of `choice.Probes`; tests put other finders in."""

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
