"""Packages are installed without a service of theirs being started, now or at the next start of the machine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devstack.component import COMPONENTS
from devstack.errors import ServerUnavailable, StackError
from devstack.machine import Machine
from devstack.packages import Packages
from devstack.programs import ProgramFinder
from devstack.stack import Stack


@dataclass
class FakeRunner:
    """Notes each command, and what the policy file said while it ran."""

    policy: Path
    complaint: str = ""
    calls: list[tuple[str, ...]] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)

    async def __call__(self, argv: Sequence[str]) -> str:
        self.calls.append(tuple(argv))
        self.policies.append(self.policy.read_text("utf-8") if self.policy.exists() else "absent")
        if self.complaint and "install" in argv:
            raise StackError(self.complaint)
        return ""


@pytest.fixture
def runner(tmp_path: Path) -> FakeRunner:
    """A machine on which nothing is really installed."""
    return FakeRunner(tmp_path / "policy-rc.d")


async def test_lists_are_updated_then_packages_installed_then_services_disabled(runner: FakeRunner) -> None:
    await Packages(runner.policy, runner).install([COMPONENTS["rabbitmq"], COMPONENTS["redis"]])
    update, install, *disable = runner.calls
    assert (update[0], update[-1]) == ("apt-get", "update")
    assert install[0] == "apt-get"
    assert install[-5:] == ("install", "-y", "--no-install-recommends", "rabbitmq-server", "redis-server")
    assert all("disable" in call for call in disable)
    assert [unit for call in disable for unit in call if unit.endswith("-server")] == [
        "rabbitmq-server",
        "redis-server",
    ]


async def test_services_are_forbidden_to_start_meanwhile_and_nothing_is_left(runner: FakeRunner) -> None:
    await Packages(runner.policy, runner).install([COMPONENTS["redis"]])
    assert runner.policies[:2] == ["#!/bin/sh\nexit 101\n"] * 2
    assert not runner.policy.exists()


async def test_a_policy_of_the_machine_is_put_back(runner: FakeRunner) -> None:
    runner.policy.write_text("#!/bin/sh\nexit 0\n", "utf-8")
    runner.complaint = "no space left"
    with pytest.raises(StackError, match="no space left"):
        await Packages(runner.policy, runner).install([COMPONENTS["redis"]])
    assert "exit 101" in runner.policies[0]
    assert runner.policy.read_text("utf-8") == "#!/bin/sh\nexit 0\n"
    assert list(runner.policy.parent.iterdir()) == [runner.policy]


async def test_a_failure_says_what_to_try_by_hand(runner: FakeRunner) -> None:
    runner.complaint = "E: broken"
    with pytest.raises(StackError, match="apt-get install --no-install-recommends postgresql"):
        await Packages(runner.policy, runner).install([COMPONENTS["postgres"]])


def test_only_root_installs() -> None:
    assert not Packages(is_root=False).can_install()


async def test_a_bare_machine_installs_all_three_and_complains_if_the_programs_stay_away(
    runner: FakeRunner, tmp_path: Path
) -> None:
    nowhere = ProgramFinder(path=str(tmp_path), rabbitmq_folders=(), postgres_roots=(), redis_folders=())
    machine = Machine(nowhere, Packages(runner.policy, runner, is_root=True), docker_program="no-such-docker")
    if not machine.can_install():
        pytest.skip("this machine has no apt-get")
    said: list[str] = []
    with pytest.raises(ServerUnavailable, match="is installed, but its program was not found"):
        await Stack(tmp_path / "home", said.append, environment={}, machine=machine).start()
    assert said == ["Installing Debian packages: rabbitmq-server, postgresql, redis-server"]
    assert runner.calls[1][-3:] == ("rabbitmq-server", "postgresql", "redis-server")
