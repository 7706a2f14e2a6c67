"""Installs servers from Debian's packages, without leaving them running as system services."""

import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.component import Component
from devstack.errors import StackError
from devstack.launch import Launch, run

_FORBIDDEN = 101
_POLICY = f"#!/bin/sh\nexit {_FORBIDDEN}\n"
_WITHIN = 600.0

Run = Callable[[Sequence[str]], Awaitable[str]]


async def _run(argv: Sequence[str]) -> str:
    env = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    return await run(Launch(tuple(argv), env, Path("/"), Path("/dev/null")), within=_WITHIN)


@dataclass(frozen=True)
class Packages:
    """apt-get, and the policy file that package scripts check before they start a service."""

    policy: Path = Path("/usr/sbin/policy-rc.d")
    run: Run = _run
    is_root: bool = os.geteuid() == 0

    def can_install(self) -> bool:
        """Tell whether this process is root on Debian, Ubuntu or a derivative."""
        return self.is_root and shutil.which("apt-get") is not None and Path("/etc/debian_version").exists()

    async def install(self, components: Sequence[Component]) -> None:
        """Install the packages of these components. Raises StackError with apt-get's error output."""
        names = [component.package for component in components]
        apt = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")
        try:
            with self._services_disabled():
                await self.run((*apt, "update"))
                await self.run((*apt, "install", "-y", "--no-install-recommends", *names))
        except StackError as error:
            advice = f"Try by hand: apt-get install --no-install-recommends {' '.join(names)}"
            raise StackError(f"{error}\n{advice}") from error
        for component in components:
            await self._disable(component.unit)

    async def _disable(self, unit: str) -> None:
        # Otherwise the next boot would start it on its default port.
        tool = ("systemctl", "disable", unit) if shutil.which("systemctl") else ("update-rc.d", unit, "disable")
        await self.run(tool)

    @contextlib.contextmanager
    def _services_disabled(self) -> Iterator[None]:
        """Prevent package scripts from starting services during the installation; restore the policy afterwards."""
        backup = self.policy.with_name(f"{self.policy.name}.batchyard-kept")
        if self.policy.exists():
            self.policy.replace(backup)
        try:
            self.policy.write_text(_POLICY, encoding="ascii")
            self.policy.chmod(0o755)
            yield
        finally:
            self.policy.unlink(missing_ok=True)
            if backup.exists():
                backup.replace(self.policy)
