"""Chooses the source of each server: its variable, a program, Docker or a Debian package, the first available."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from devstack.component import COMPONENTS, Component, Name
from devstack.errors import ServerUnavailable

Source = Literal["given", "program", "docker", "package"]


@dataclass(frozen=True)
class Choice:
    """Source of one server, with the given address or the program found."""

    component: Component
    source: Source
    url: str | None = None
    program: Path | None = None


class Probes(Protocol):
    """Questions about the machine; each is asked only if no source before it is available."""

    def program(self, name: Name) -> Path | None:
        """Find the server program of a component."""
        ...

    async def docker(self) -> bool:
        """Tell whether a Docker engine answers."""
        ...

    def can_install(self) -> bool:
        """Tell whether Debian packages can be installed."""
        ...


async def choose(names: Iterable[Name], environment: Mapping[str, str], probes: Probes) -> dict[Name, Choice]:
    """Choose the source of each component. Raises ServerUnavailable, which names all missing ones."""
    choices: dict[Name, Choice] = {}
    engine: bool | None = None
    missing: list[Component] = []
    for name in names:
        component = COMPONENTS[name]
        if url := environment.get(component.variable):
            choices[name] = Choice(component, "given", url=url)
            continue
        if program := probes.program(name):
            choices[name] = Choice(component, "program", program=program)
            continue
        engine = await probes.docker() if engine is None else engine
        if engine:
            choices[name] = Choice(component, "docker")
        elif probes.can_install():
            choices[name] = Choice(component, "package")
        else:
            missing.append(component)
    if missing:
        raise ServerUnavailable(_advice(missing))
    return choices


def _advice(missing: list[Component]) -> str:
    titles = ", ".join(component.title for component in missing)
    packages = " ".join(component.package for component in missing)
    variables = ", ".join(component.variable for component in missing)
    return (
        f"Not found: {titles}. There is no server program, no Docker engine answers, and packages can be installed "
        f"only by root on Debian or Ubuntu. Do one of these, then try again:\n"
        f"  sudo apt-get install --no-install-recommends {packages}\n"
        f"  start a Docker engine that your account may use\n"
        f"  set {variables} to the addresses of running servers"
    )
