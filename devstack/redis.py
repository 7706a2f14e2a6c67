"""Redis as a private server: in memory only, because losing its data costs Batchyard speed, never results."""

from pathlib import Path
from signal import SIGTERM, Signals

import psutil

from devstack.component import Name
from devstack.launch import Launch
from devstack.passwords import administrator_password, passwords_of
from devstack.recipe import Ports, bare_environment
from shared.redis.acl import KEYS, user_lines

DATABASES = 128

_CONFIGURATION = """\
bind 127.0.0.1
port {redis}
protected-mode yes
requirepass {password}
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
        self._home = home
        self._folder = home / "redis"
        self._program = program
        self._mark = mark
        self.roots = (home,)
        self.log = home / "log" / "redis.log"

    async def prepare(self, ports: Ports) -> Launch:
        """Write the configuration, with the users of the services."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        configuration = self._folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.chmod(0o600)
        password = administrator_password(self._home)
        text = _CONFIGURATION.format(redis=ports["redis"], databases=DATABASES, password=password)
        users = "\n".join(user_lines(passwords_of(self._home, KEYS)))  # here, since it keeps nothing on disk
        configuration.write_text(f"{text}{users}\n", encoding="utf-8")
        env = bare_environment(self._mark, self._folder)
        return Launch((str(self._program), str(configuration)), env, self._folder, self.log)

    def main(self, launched: psutil.Process) -> psutil.Process:
        """Return the started process, which is the server."""
        return launched

    def first_url(self, ports: Ports) -> str:
        """Return the address of database 0."""
        return self.url(ports)

    def url(self, ports: Ports, number: int = 0) -> str:
        """Return the address of a numbered database, with the account of the administrator."""
        return f"redis://:{administrator_password(self._home)}@127.0.0.1:{ports['redis']}/{number}"

    async def initialize(self, ports: Ports) -> None:
        """Do nothing: clients need no further objects."""
