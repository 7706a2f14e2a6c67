"""PostgreSQL as a private server: own data folder, loopback only, as durable as a real one."""

import hashlib
import os
import pwd
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, Signals

import asyncpg
import psutil

from devstack.component import Name
from devstack.errors import StackError
from devstack.launch import Launch, run
from devstack.processes import living
from devstack.recipe import Ports, bare_environment

_ACCOUNT = "batchyard"


class PostgreSQL:
    """Refuses to run as root, so root starts it as the user `postgres`, or `nobody` where that is missing."""

    name: Name = "postgres"
    port_names = ("postgres",)
    process_names = frozenset({"postgres"})
    stop_signal: Signals = SIGINT

    def __init__(self, home: Path, program: Path, mark: str, echo: Callable[[str], None]) -> None:
        self._home = home
        self._program = program
        self._mark = mark
        self.roots = (home, temporary_base(home))
        self._echo = echo
        self._user: str | None = None
        self.log = home / "log" / "postgres.log"

    async def prepare(self, ports: Ports) -> Launch:
        """Make the data folder of this major version, once."""
        self._user = _other_user() if os.geteuid() == 0 else None
        env = bare_environment(self._mark, Path("/"))
        said = await run(Launch((str(self._program), "--version"), env, Path("/"), self.log), within=20)
        folder = await self._base(env) / f"postgres-{said.split()[2].split('.')[0]}"
        if not folder.exists():
            await self._initialise(folder, env)
        _forget_dead_postmaster(folder / "postmaster.pid")
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",  # a path of a socket may have 107 characters, a folder of a project more
            "max_connections": "200",
            "shared_buffers": "256MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = (str(self._program), "-D", str(folder), "-p", str(ports["postgres"]), *options)
        return Launch(argv, env, folder, self.log, self._user)

    def main(self, launched: psutil.Process) -> psutil.Process:
        """Give the postmaster, which is what was started."""
        return launched

    def first_url(self, ports: Ports) -> str:
        """Give the address of the database that every installation has."""
        return self.url(ports, "postgres")

    def url(self, ports: Ports, database: str = _ACCOUNT) -> str:
        """Give the address of a database."""
        return f"postgresql://{_ACCOUNT}@127.0.0.1:{ports['postgres']}/{database}"

    async def settle(self, ports: Ports) -> None:
        """Create the database that services use, if it is missing."""
        connection = await asyncpg.connect(self.first_url(ports))
        try:
            await connection.execute(f'create database "{_ACCOUNT}"')
        except asyncpg.DuplicateDatabaseError:
            return
        finally:
            await connection.close()

    async def _initialise(self, folder: Path, env: dict[str, str]) -> None:
        fresh = folder.with_name(f"{folder.name}.new")  # renamed when it is whole: an interrupted one never counts
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self._user is not None:
            shutil.chown(fresh, self._user)
        tool = str(self._program.with_name("initdb"))
        options = ("-A", "trust", "-U", _ACCOUNT, "-E", "UTF8", "--locale=C", "--no-sync")
        await run(Launch((tool, "-D", str(fresh), *options), env, Path("/"), self.log, self._user), within=120)
        fresh.rename(folder)

    async def _base(self, env: dict[str, str]) -> Path:
        """Give a folder that the server's user can enter: the home, or else one in the temporary folder."""
        if self._user is None:
            return self._home
        check = Launch(("/bin/sh", "-c", 'test -x "$0"', str(self._home)), env, Path("/"), self.log, self._user)
        try:
            await run(check, within=20)
        except StackError:
            base = temporary_base(self._home)
            _make_private(base)
            self._echo(f"PostgreSQL: its user {self._user} cannot enter {self._home}, so its data is in {base}")
            return base
        return self._home


def temporary_base(home: Path) -> Path:
    """Give the folder that holds the data when the server's user cannot enter the home."""
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()).resolve() / f"batchyard-{digest}"


def _other_user() -> str:
    for user in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(user).pw_name
        except KeyError:
            continue
    raise StackError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody. Add one.")


def _forget_dead_postmaster(lock: Path) -> None:
    """Remove the lock of a killed postmaster that nobody has collected yet: PostgreSQL would take it for alive."""
    if not lock.exists():
        return
    try:
        alive = living(psutil.Process(int(lock.read_text(encoding="utf-8").split()[0])))
    except (psutil.NoSuchProcess, ValueError, IndexError):
        return  # PostgreSQL sees that for itself
    if not alive:
        lock.unlink(missing_ok=True)


def _make_private(base: Path) -> None:
    base.mkdir(mode=0o711, exist_ok=True)
    status = base.lstat()
    if base.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise StackError(f"{base} belongs to somebody else. Remove it, or set BATCHYARD_HOME to a public folder.")
