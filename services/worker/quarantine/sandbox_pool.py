"""Keeps the process that quarantined items run in from one chunk to the next: starting one takes a while."""

from services.worker.quarantine import memory
from services.worker.quarantine.sandbox import Process

_SHARE = 0.5
"""Of the memory that is free, unless a limit is set."""
_MB = 2**20


class Cell:
    """A place for one process of a workload."""

    def __init__(self, workload: str, memory_mb: int | None) -> None:
        self._workload, self._memory_mb = workload, memory_mb
        self._process: Process | None = None

    async def process(self) -> Process:
        """The one that lives, or a new one, which may have died of its start."""
        if self._process is not None and not self._process.usable:
            await self.close()
        if self._process is None:
            self._process = await Process.start(self._workload, self._memory_mb or _half_of_free())
        return self._process

    async def close(self) -> None:
        """End it."""
        if self._process is not None:
            await self._process.stop()
            self._process = None


def _half_of_free() -> int | None:
    free = memory.free()
    return None if free is None else max(1, int(free * _SHARE) // _MB)
