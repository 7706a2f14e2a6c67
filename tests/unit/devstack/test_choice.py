"""The order in which servers are looked for, each on its own."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devstack.choice import choose
from devstack.component import COMPONENTS, Name
from devstack.errors import ServerUnavailable

RABBITMQ, POSTGRES, REDIS = Path("/opt/a/rabbitmq-server"), Path("/opt/b/postgres"), Path("/opt/c/redis-server")
PROGRAMS: dict[Name, Path] = {"rabbitmq": RABBITMQ, "postgres": POSTGRES, "redis": REDIS}


@dataclass
class FakeMachine:
    """A machine that answers as it is told to, and counts the questions for Docker."""

    programs: dict[Name, Path] = field(default_factory=dict)
    engine: bool = False
    installs: bool = False
    docker_asked: int = 0

    def program(self, name: Name) -> Path | None:
        return self.programs.get(name)

    async def docker(self) -> bool:
        self.docker_asked += 1
        return self.engine

    def can_install(self) -> bool:
        return self.installs


async def test_a_given_address_comes_before_everything() -> None:
    environment = {component.variable: f"x://{name}" for name, component in COMPONENTS.items()}
    machine = FakeMachine(PROGRAMS, engine=True, installs=True)
    choices = await choose(COMPONENTS, environment, machine)
    assert {name: (choice.source, choice.url) for name, choice in choices.items()} == {
        name: ("given", f"x://{name}") for name in COMPONENTS
    }


async def test_programs_come_before_docker_which_is_not_even_asked() -> None:
    machine = FakeMachine(PROGRAMS, engine=True, installs=True)
    choices = await choose(COMPONENTS, {}, machine)
    assert {name: choice.program for name, choice in choices.items()} == PROGRAMS
    assert machine.docker_asked == 0


async def test_docker_comes_before_packages_and_is_asked_once() -> None:
    machine = FakeMachine(engine=True, installs=True)
    choices = await choose(COMPONENTS, {}, machine)
    assert {choice.source for choice in choices.values()} == {"docker"}
    assert machine.docker_asked == 1


async def test_packages_are_the_last_way() -> None:
    choices = await choose(COMPONENTS, {}, FakeMachine(installs=True))
    assert {choice.source for choice in choices.values()} == {"package"}


async def test_each_component_is_chosen_on_its_own() -> None:
    machine = FakeMachine({"postgres": POSTGRES}, engine=True)
    choices = await choose(COMPONENTS, {"BATCHYARD_AMQP_URL": "amqp://far"}, machine)
    assert {name: choice.source for name, choice in choices.items()} == {
        "rabbitmq": "given",
        "postgres": "program",
        "redis": "docker",
    }


async def test_an_empty_variable_names_no_server() -> None:
    choices = await choose(COMPONENTS, {"BATCHYARD_REDIS_URL": ""}, FakeMachine(PROGRAMS))
    assert choices["redis"].source == "program"


async def test_all_missing_servers_are_reported_with_their_packages() -> None:
    machine = FakeMachine({"postgres": POSTGRES})
    with pytest.raises(ServerUnavailable) as caught:
        await choose(COMPONENTS, {}, machine)
    assert "RabbitMQ, Redis" in str(caught.value)
    assert "sudo apt-get install --no-install-recommends rabbitmq-server redis-server\n" in str(caught.value)
    assert "BATCHYARD_AMQP_URL, BATCHYARD_REDIS_URL" in str(caught.value)
