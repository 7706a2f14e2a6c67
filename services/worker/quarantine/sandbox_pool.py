"""Keeps the sandbox process from one chunk to the next, because a start takes seconds."""

from services.worker.quarantine import memory
from services.worker.quarantine.sandbox import Sandbox

_SHARE = 0.5
"""Share of the available memory that is the limit when none is set."""
_MB = 2**20


class SandboxPool:
    """At most one sandbox of a workload."""

    def __init__(self, workload: str, memory_mb: int | None) -> None:
        self._workload, self._memory_mb = workload, memory_mb
        self._sandbox: Sandbox | None = None

    async def sandbox(self) -> Sandbox:
        """Return the running sandbox, or a new one, which may have ended during its start."""
        if self._sandbox is not None and not self._sandbox.is_usable:
            await self.close()
        if self._sandbox is None:
            self._sandbox = await Sandbox.start(self._workload, self._memory_mb or _default_limit_mb())
        return self._sandbox

    async def close(self) -> None:
        """Stop the sandbox."""
        if self._sandbox is not None:
            await self._sandbox.stop()
            self._sandbox = None


def _default_limit_mb() -> int | None:
    available = memory.available_bytes()
    return None if available is None else max(1, int(available * _SHARE) // _MB)
