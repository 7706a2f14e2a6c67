"""A private stack, really started: in a folder with a space in its name, beside whatever else runs here."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import aiormq
import asyncpg
import psutil
import pytest
import redis.asyncio

from devstack import Servers, ServerUnavailable, Stack, erase
from devstack.component import COMPONENTS
from devstack.machine import Machine
from devstack.ports import is_free
from devstack.programs import ProgramFinder
from devstack.state import StackState
from shared.messaging.topology import declare
from tests.support.patience import PATIENCE_S, until_true

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]


def processes_of(home: Path) -> list[str]:
    """Find each process that shows this home in its command, environment or folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            shown = [*process.cmdline(), *process.environ().values(), process.cwd()]
            if any(str(home) in text for text in shown):
                found.append(f"{process.pid} {process.name()}")
    return found


class Started:
    """A running stack and what it said."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.said: list[str] = []
        self.stack = Stack(home, self.said.append, environment={})
        self.servers = Servers("", "", "")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A stack of server programs; it must leave no process behind."""
    missing = [component.title for name, component in COMPONENTS.items() if Machine().program(name) is None]
    if missing:
        reason = f"These server programs are not installed: {', '.join(missing)}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    started = Started(tmp_path_factory.mktemp("project") / "a home")
    started.servers = asyncio.run(started.stack.start())
    yield started
    assert len(processes_of(started.home)) >= 4
    ports = [port for server in StackState(started.home).read().servers.values() for port in server.ports.values()]
    asyncio.run(erase(started.home, started.said.append))
    assert processes_of(started.home) == []
    assert _listening(ports) == []
    assert not started.home.exists()


async def test_all_three_answer_and_each_choice_is_one_line(started: Started) -> None:
    await _use(started.servers)
    assert {line.partition(":")[0] for line in started.said[:4]} >= {"RabbitMQ", "PostgreSQL", "Redis"}
    assert not any("guest:guest" in line for line in started.said)


async def test_everything_listens_on_loopback_alone_and_on_no_default_port(started: Started) -> None:
    theirs = [
        (connection.laddr[0], connection.laddr[1])
        for server in StackState(started.home).read().servers.values()
        for identity in server.processes
        if (process := identity.find())
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(theirs) >= 5
    assert {host for host, _ in theirs} <= {"127.0.0.1", "::1"}
    assert not {port for _, port in theirs} & {4369, 5432, 5672, 6379, 15672, 25672}


async def test_a_second_start_takes_what_runs(started: Started) -> None:
    before = StackState(started.home).read().servers
    lines: list[str] = []
    again = await Stack(started.home, lines.append, environment={}).start()
    assert again == started.servers
    assert len(lines) == 3
    assert all("already running" in line for line in lines)
    assert StackState(started.home).read().servers == before


async def test_isolated_databases_are_empty_each_time_they_are_created(started: Started) -> None:
    isolated = await started.stack.create_isolated("corner")
    assert not set(isolated.environment().values()) & set(started.servers.environment().values())
    await _use(isolated, leave=True)
    assert await started.stack.create_isolated("corner") == isolated
    await _use(isolated, leave=True)


async def test_a_virtual_host_can_be_created_again_as_soon_as_the_broker_has_been_restarted(started: Started) -> None:
    for _ in range(2):
        isolated = await started.stack.create_isolated("again")
        async with asyncio.timeout(PATIENCE_S), await aio_pika.connect_robust(isolated.amqp_url) as connection:
            await declare(connection)
        await started.stack.restart("rabbitmq")
    await started.stack.drop_isolated("again")


async def test_isolated_databases_are_emptied_and_then_deleted(started: Started) -> None:
    isolated = await started.stack.create_isolated("passing")
    await _use(isolated, leave=True)
    assert await started.stack.purge("passing")
    async with await aio_pika.connect(isolated.amqp_url) as broker:
        channel = await broker.channel()
        assert (await channel.declare_queue("used", passive=True)).declaration_result.message_count == 0
    for _ in range(2):  # what is not there any more is no error
        await started.stack.drop_isolated("passing")
    assert "passing" not in started.stack.isolated_names()
    with pytest.raises(aiormq.exceptions.AMQPError):
        await aiormq.connect(isolated.amqp_url)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(isolated.database_url)
    await _use(started.servers)


async def test_a_killed_broker_comes_back_with_its_messages_at_its_address(started: Started) -> None:
    async with await aio_pika.connect(started.servers.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
        body = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(body, queue.name)
        # RabbitMQ 3.10 writes the name of a new quorum queue down up to a second later, and tells nobody when. Killed
        # before, it restarts with a queue that finds no leader until it is restarted once more.
        await asyncio.sleep(1.5)
        await started.stack.kill("rabbitmq", signal.SIGKILL)
    with pytest.raises(aiormq.exceptions.AMQPConnectionError):
        await aiormq.connect(started.servers.amqp_url)
    await started.stack.restart("rabbitmq")
    async with await aio_pika.connect(started.servers.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("kept")
        message = await queue.get(timeout=20)
        assert message.body == b"kept"
        await message.ack()


async def test_a_killed_database_keeps_what_it_acknowledged(started: Started) -> None:
    connection = await asyncpg.connect(started.servers.database_url)
    await connection.execute("create table kept (n int); insert into kept values (7)")
    await started.stack.kill("postgres", signal.SIGKILL)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("select n from kept")
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await connection.close(timeout=1)
    await started.stack.restart("postgres")
    connection = await asyncpg.connect(started.servers.database_url)
    assert await connection.fetchval("select n from kept") == 7
    assert await connection.fetchval("show fsync") == "on"
    await connection.close()


async def test_a_frozen_server_is_replaced_at_the_next_start(started: Started) -> None:
    await started.stack.kill("redis", signal.SIGSTOP)
    frozen = StackState(started.home).read().servers["redis"].processes[0]
    lines: list[str] = []
    await Stack(started.home, lines.append, environment={}).start()
    assert frozen.find() is None
    assert next(line for line in lines if line.startswith("Redis")).startswith("Redis: private, /")
    await _use(started.servers)


async def test_data_of_a_version_without_passwords_are_kept(started: Started, tmp_path: Path) -> None:
    """Without its file, the passwords of a stack are as unknown as those of a version that had none."""
    home = tmp_path / "older"
    stack = Stack(home, started.said.append, environment={})
    try:
        before = await stack.start()
        await _use(before, leave=True)
        await stack.release()
        (home / "passwords.json").unlink()
        stack = Stack(home, started.said.append, environment={})
        after = await stack.start()
        assert (await stack.create_accounts(after))["ingest"]["BATCHYARD_DATABASE_URL"] != after.database_url
        async with await aio_pika.connect(after.amqp_url) as broker:
            channel = await broker.channel()
            assert (await channel.declare_queue("used", passive=True)).name == "used"
        database = await asyncpg.connect(after.database_url)
        assert await database.fetchval("SELECT count(*) FROM used") == 0
        await database.close()
        with pytest.raises(aiormq.exceptions.AMQPError):
            await aiormq.connect(before.amqp_url)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(before.database_url)
    finally:
        await erase(home, started.said.append)


async def test_the_last_process_that_releases_it_stops_it(started: Started) -> None:
    code = (
        "import asyncio, pathlib, sys; from devstack import Stack; "
        "stack = Stack(pathlib.Path(sys.argv[1]), print, environment={}); "
        "asyncio.run(stack.start()); asyncio.run(stack.release())"
    )
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(started.home), cwd=ROOT)
    assert await other.wait() == 0
    await _use(started.servers)


async def test_a_start_that_is_interrupted_leaves_nothing(started: Started, tmp_path: Path) -> None:
    given = started.servers.environment() | {"BATCHYARD_AMQP_URL": ""}
    start = asyncio.create_task(Stack(tmp_path / "home", lambda _: None, environment=given).start())
    await until_true(lambda: any("beam" in process for process in processes_of(tmp_path)), pause_s=0.05)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert processes_of(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_runs_a_stack_of_its_own_at_the_same_time(started: Started) -> None:
    nobody = pwd.getpwnam("nobody")
    python, path = _python_for(nobody)
    home = Path(tempfile.mkdtemp(prefix="batchyard-test-")).resolve()
    try:
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        code = (
            "import asyncio, pathlib, sys\n"
            "from devstack import Stack\n"
            "async def main():\n"
            "    stack = Stack(pathlib.Path(sys.argv[1]) / 'home', print, environment={})\n"
            "    await stack.start()\n"
            "    await stack.create_isolated('corner')\n"
            "    await stack.release()\n"
            "asyncio.run(main())"
        )
        done = subprocess.run(
            [python, "-c", code, str(home)], user="nobody", group=nobody.pw_gid, extra_groups=[], cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == 3
        assert (home / "home" / "run.json").stat().st_uid == nobody.pw_uid
        assert processes_of(home) == []
    finally:
        shutil.rmtree(home)
    assert len(processes_of(started.home)) >= 4


async def test_a_server_that_cannot_start_is_an_error_with_its_log_and_leaves_nothing(
    started: Started, tmp_path: Path
) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho 'cannot allocate memory'; exit 1\n", "utf-8")
    broken.chmod(0o755)
    machine = Machine(ProgramFinder(path=str(tmp_path)))
    environment = started.servers.environment() | {"BATCHYARD_REDIS_URL": ""}
    with pytest.raises(ServerUnavailable, match=r"Redis did not start[^$]*cannot allocate memory"):
        await Stack(tmp_path / "home", lambda _: None, environment=environment, machine=machine).start()
    assert processes_of(tmp_path / "home") == []
    await _use(started.servers)


async def _use(servers: Servers, *, leave: bool = False) -> None:
    """Write to all three what fails if it is there already; take it away again, or leave it."""
    async with await aio_pika.connect(servers.amqp_url) as broker:
        channel = await broker.channel()
        queue = await channel.declare_queue("used", durable=True)
        await channel.default_exchange.publish(aio_pika.Message(b"x"), queue.name)
        assert (await channel.declare_queue("used", passive=True)).declaration_result.message_count == 1
        if not leave:
            await queue.delete(if_unused=False, if_empty=False)
    database = await asyncpg.connect(servers.database_url)
    await database.execute("create table used (n int)")
    if not leave:
        await database.execute("drop table used")
    await database.close()
    memory = redis.asyncio.from_url(servers.redis_url)
    assert await memory.set("used", 1, nx=True)
    if not leave:
        await memory.delete("used")
    await memory.aclose()


def _listening(ports: list[int]) -> list[int]:
    return [port for port in ports if not is_free(port)]


def _python_for(user: pwd.struct_passwd) -> tuple[str, str]:
    """Give an interpreter that this user may run, and a path on which it finds the project."""
    path = f"{ROOT}:{ROOT / 'contracts'}:{sysconfig.get_path('purelib')}"
    for python in (sys.executable, "/usr/bin/python3.11", "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [python, "-c", "import devstack"], user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/",
                env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, timeout=60, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                return python, path
    pytest.skip(f"the user {user.pw_name} may not read the interpreter or the project")
