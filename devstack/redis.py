"""Redis as a private server: in memory only, because losing its data costs Batchyard speed, never results."""

from pathlib import Path
from signal import SIGTERM, Signals

import psutil

from devstack.component import Name
from devstack.launch import Launch
from devstack.recipe import Ports, bare_environment

DATABASES = 128

_CONFIGURATION = """\
bind 127.0.0.1
port {redis}
protected-mode yes
databases {databases}
save ""
appendonly no
"""


class Redis:
    """Redis or Valkey server, configured by a file in its own folder."""

    name: Name = "redis"
    port_names: tuple[str, ...] = ("redis",)
    process_names = frozenset({"redis-server", "valkey-server"})
    stop_signal: Signals = SIGTERM

    def __init__(self, home: Path, program: Path, mark: str) -> None:
        self._folder = home / "redis"
        self._program = program
        self._mark = mark
        self.roots = (home,)
        self.log = home / "log" / "redis.log"

    async def prepare(self, ports: Ports) -> Launch:
        """Write the configuration."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        configuration = self._folder / "redis.conf"
        configuration.write_text(_CONFIGURATION.format(redis=ports["redis"], databases=DATABASES), encoding="utf-8")
        env = bare_environment(self._mark, self._folder)
        return Launch((str(self._program), str(configuration)), env, self._folder, self.log)

    def main(self, launched: psutil.Process) -> psutil.Process:
        """Return the started process, which is the server."""
        return launched

    def first_url(self, ports: Ports) -> str:
        """Return the address of database 0."""
        return self.url(ports)

    def url(self, ports: Ports, number: int = 0) -> str:
        """Return the address of a numbered database."""
        return f"redis://127.0.0.1:{ports['redis']}/{number}"

    async def initialize(self, ports: Ports) -> None:
        """Do nothing: clients need no further objects."""
