"""PostgreSQL as a private server: its own data folder, loopback only, with full durability."""

import hashlib
import os
import pwd
import secrets
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
from devstack.passwords import administrator_password
from devstack.processes import is_running
from devstack.recipe import Ports, bare_environment
from shared.postgres.roles import scram_verifier

_ACCOUNT = "batchyard"
_ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"
"""Content of `hba_file`: nobody logs in without a password."""


class PostgreSQL:
    """PostgreSQL server. It refuses to run as root, so root starts it as user `postgres`, or else `nobody`."""

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
        """Create the data folder of this major version, if it is missing."""
        self._user = _unprivileged_user() if os.geteuid() == 0 else None
        env = bare_environment(self._mark, Path("/"))
        output = await run(Launch((str(self._program), "--version"), env, Path("/"), self.log), within=20)
        folder = await self._base(env) / f"postgres-{output.split()[2].split('.')[0]}"
        if not folder.exists():
            await self._initialise(folder, env)
        _remove_stale_lock(folder / "postmaster.pid")
        await self._set_password(folder, env)
        access = folder / "access.conf"
        access.write_text(_ACCESS, encoding="ascii")
        settings = {
            "hba_file": str(access),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",  # a project folder may exceed the 107 characters of a socket path
            "max_connections": "400",
            "shared_buffers": "256MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = (str(self._program), "-D", str(folder), "-p", str(ports["postgres"]), *options)
        return Launch(argv, env, folder, self.log, self._user)

    def main(self, launched: psutil.Process) -> psutil.Process:
        """Return the postmaster, which is what was started."""
        return launched

    def first_url(self, ports: Ports) -> str:
        """Return the address of the database that every installation has."""
        return self.url(ports, "postgres")

    def url(self, ports: Ports, database: str = _ACCOUNT) -> str:
        """Return the address of a database."""
        return f"postgresql://{_ACCOUNT}:{administrator_password(self._home)}@127.0.0.1:{ports['postgres']}/{database}"

    async def initialize(self, ports: Ports) -> None:
        """Create the database that services use, if it is missing."""
        connection = await asyncpg.connect(self.first_url(ports))
        try:
            await connection.execute(f'create database "{_ACCOUNT}"')
        except asyncpg.DuplicateDatabaseError:
            return
        finally:
            await connection.close()

    async def _initialise(self, folder: Path, env: dict[str, str]) -> None:
        new_folder = folder.with_name(
            f"{folder.name}.new"
        )  # renamed when complete, so that an interrupted one is not used
        shutil.rmtree(new_folder, ignore_errors=True)
        new_folder.mkdir(mode=0o700)
        if self._user is not None:
            shutil.chown(new_folder, self._user)
        tool = str(self._program.with_name("initdb"))
        options = ("-A", "trust", "-U", _ACCOUNT, "-E", "UTF8", "--locale=C", "--no-sync")
        await run(Launch((tool, "-D", str(new_folder), *options), env, Path("/"), self.log, self._user), within=120)
        new_folder.rename(folder)

    async def _set_password(self, folder: Path, env: dict[str, str]) -> None:
        """Give the administrator its password, unless the data folder has it, while no server runs on the folder."""
        password = administrator_password(self._home)
        digest, mark = hashlib.sha256(password.encode()).hexdigest(), folder / "password.sha256"
        if mark.exists() and mark.read_text("ascii") == digest:
            return
        statement = f"ALTER ROLE {_ACCOUNT} PASSWORD '{scram_verifier(password, secrets.token_bytes(16))}'\n"
        alone = (str(self._program), "--single", "-D", str(folder), "postgres")
        await run(Launch(alone, env, Path("/"), self.log, self._user), within=120, stdin=statement)
        mark.write_text(digest, encoding="ascii")

    async def _base(self, env: dict[str, str]) -> Path:
        """Return a folder that the server's user can enter: the home, or else one in the temporary folder."""
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
    """Return the folder that holds the data when the server's user cannot enter the home."""
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()).resolve() / f"batchyard-{digest}"


def _unprivileged_user() -> str:
    for user in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(user).pw_name
        except KeyError:
            continue
    raise StackError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody. Add one.")


def _remove_stale_lock(lock: Path) -> None:
    """Remove the lock file of a killed postmaster that is a zombie: PostgreSQL would consider it running."""
    if not lock.exists():
        return
    try:
        alive = is_running(psutil.Process(int(lock.read_text(encoding="utf-8").split()[0])))
    except (psutil.NoSuchProcess, ValueError, IndexError):
        return  # PostgreSQL detects this case itself
    if not alive:
        lock.unlink(missing_ok=True)


def _make_private(base: Path) -> None:
    base.mkdir(mode=0o711, exist_ok=True)
    status = base.lstat()
    if base.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise StackError(f"{base} belongs to somebody else. Remove it, or set BATCHYARD_HOME to a public folder.")
