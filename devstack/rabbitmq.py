"""RabbitMQ as a private server: own node name, cookie, port mapper, configuration and data."""

import hashlib
import json
import secrets
import shutil
from pathlib import Path
from signal import SIGTERM, Signals

import psutil

from batchyard_contracts.definitions import password_hash
from devstack.component import Name
from devstack.errors import StackError
from devstack.launch import Launch, run
from devstack.passwords import administrator_password
from devstack.recipe import Ports, bare_environment

_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 200MB
max_message_size = 4194304
raft.wal_max_size_bytes = 33554432
log.console = false
load_definitions = {definitions}
"""
"""Server configuration. Limits are absolute because relative ones depend on the machine; a small write-ahead log speeds
up the start after a crash."""

_DROP_VHOST = """\
case rabbit_vhost:exists(<<"{vhost}">>) of
  true ->
    [ra:members(amqqueue:get_pid(Queue), 30000) ||
      Queue <- rabbit_amqqueue:list(<<"{vhost}">>), amqqueue:get_type(Queue) =:= rabbit_quorum_queue],
    [catch sys:get_state(Worker, 30000) ||
      whereis(rabbit_fifo_dlx_sup) =/= undefined,
      {{_, Worker, _, _}} <- supervisor:which_children(rabbit_fifo_dlx_sup), is_pid(Worker)],
    rabbit_vhost:delete(<<"{vhost}">>, <<"batchyard">>);
  false -> ok
end"""
"""First waits until each quorum queue has a leader and its dead-letter worker runs. RabbitMQ 3.10 gives up all of these
workers, and with them every quorum queue declared later, when several queues are deleted while theirs start."""
_FRESH_VHOST = f"""\
{_DROP_VHOST},
ok = rabbit_vhost:add(<<"{{vhost}}">>, <<"batchyard">>),
rabbit_auth_backend_internal:set_permissions(
  <<"guest">>, <<"{{vhost}}">>, <<".*">>, <<".*">>, <<".*">>, <<"batchyard">>)"""
"""Does in one step what `rabbitmqctl` does by delete_vhost, add_vhost and set_permissions."""

_PURGE_VHOST = """\
lists:foreach(
  fun(Queue) ->
    case rabbit_amqqueue:stat(Queue) of
      {{ok, 0, _}} -> ok;
      _ -> rabbit_amqqueue:purge(Queue)
    end
  end,
  rabbit_amqqueue:list(<<"{vhost}">>))"""

_IMPORT = """\
{{ok, Definitions}} = file:read_file(<<{file}>>),
rabbit_definitions:import_raw(Definitions)"""

_ADMINISTRATOR = "guest"
"""RabbitMQ accepts this account from loopback only."""
_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"


class RabbitMQ:
    """RabbitMQ node, started without Debian's wrapper, which requires root and the system's folders."""

    name: Name = "rabbitmq"
    port_names: tuple[str, ...] = ("amqp", "epmd", "distribution", "tools")
    process_names = frozenset({"beam.smp", "epmd", "rabbitmq-server"})
    stop_signal: Signals = SIGTERM

    def __init__(self, home: Path, program: Path, mark: str) -> None:
        self._home = home
        self._folder = home / "rabbitmq"
        self._program = program
        self._mark = mark
        self.roots = (home,)
        self._node = f"batchyard{hashlib.sha256(str(home).encode()).hexdigest()[:8]}@localhost"
        self.log = home / "log" / "rabbitmq.log"

    async def prepare(self, ports: Ports) -> Launch:
        """Write the configuration, the list of plugins (none), the cookie and the account of the administrator."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        definitions = self._folder / "administrator.json"
        definitions.write_text(json.dumps(_administrator(administrator_password(self._home))), encoding="utf-8")
        configuration = _CONFIGURATION.format(amqp=ports["amqp"], definitions=definitions)
        (self._folder / "rabbitmq.conf").write_text(configuration, encoding="utf-8")
        (self._folder / "enabled_plugins").write_text("[].\n", encoding="utf-8")
        cookie = self._folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(secrets.token_hex(16), encoding="ascii")
            cookie.chmod(0o400)
        return Launch((str(self._program),), self._environment(ports), self._folder, self.log)

    def main(self, launched: psutil.Process) -> psutil.Process:
        """Return the Erlang VM; the started process is a shell script that waits for it."""
        return next((child for child in launched.children(recursive=True) if child.name() == "beam.smp"), launched)

    def first_url(self, ports: Ports) -> str:
        """Return the address of the default virtual host."""
        return self.url(ports)

    def url(self, ports: Ports, vhost: str = "") -> str:
        """Return the address of a virtual host, with the account of the administrator."""
        password = administrator_password(self._home)
        return f"amqp://{_ADMINISTRATOR}:{password}@127.0.0.1:{ports['amqp']}/{vhost}"

    async def initialize(self, ports: Ports) -> None:
        """Do nothing: clients need no further objects."""

    async def create_vhost(self, ports: Ports, vhost: str) -> str:
        """Create an empty virtual host, replacing an older one of this name, and return its address."""
        await self._evaluate(ports, _FRESH_VHOST.format(vhost=vhost))
        return self.url(ports, vhost)

    async def drop_vhost(self, ports: Ports, vhost: str) -> None:
        """Delete a virtual host with all that it holds, if it is there."""
        await self._evaluate(ports, _DROP_VHOST.format(vhost=vhost))

    async def purge_vhost(self, ports: Ports, vhost: str) -> None:
        """Delete the messages that wait in the queues of a virtual host."""
        await self._evaluate(ports, _PURGE_VHOST.format(vhost=vhost))

    async def import_definitions(self, ports: Ports, file: Path) -> None:
        """Import exchanges, queues, users and rights of a file. Passwords of users that exist are replaced."""
        await self._evaluate(ports, _IMPORT.format(file=",".join(map(str, bytes(file)))))

    async def _evaluate(self, ports: Ports, expression: str) -> None:
        """Let the node evaluate an expression whose value is `ok`. Raises StackError with any other value.

        `erl_call`, which comes with Erlang, takes a hundredth of a second for it; `rabbitmqctl`, a whole one.
        """
        environment = self._environment(ports)
        if (tool := shutil.which("erl_call", path=environment["PATH"])) is None:
            said, expected = await self._control(ports, "eval", f"{expression}."), "ok"
        else:
            caller = f"caller{secrets.token_hex(4)}"  # the node refuses a second caller of one name
            argv = (tool, "-sname", self._node, "-h", caller, "-e")
            launch = Launch(argv, environment, self._folder, self.log)
            said, expected = await run(launch, within=60, stdin=f"{expression}.\n"), "{ok, ok}"
        if said.strip() != expected:
            raise StackError(f"RabbitMQ answered {said.strip()[-2000:]} to {expression}")

    async def _control(self, ports: Ports, *argv: str) -> str:
        tool = self._program.with_name("rabbitmqctl")
        return await run(Launch((str(tool), *argv), self._environment(ports), self._folder, self.log), within=60)

    def _environment(self, ports: Ports) -> dict[str, str]:
        folder = self._folder
        return bare_environment(self._mark, folder) | {
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(ports["amqp"]),
            "RABBITMQ_DIST_PORT": str(ports["distribution"]),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.log.parent),
            "RABBITMQ_LOGS": str(self.log),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "absent.config"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _LOOPBACK,
            "RABBITMQ_CTL_ERL_ARGS": _LOOPBACK,
            "RABBITMQ_CTL_DIST_PORT_MIN": str(ports["tools"]),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(ports["tools"] + 20),
        }


def _administrator(password: str) -> dict[str, object]:
    """Return the definitions that the node loads at each start. One that has data replaces the password."""
    user = {
        "name": _ADMINISTRATOR,
        "password_hash": password_hash(password, secrets.token_bytes(4)),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "administrator",
    }
    everything = dict.fromkeys(("configure", "write", "read"), ".*")
    return {
        "users": [user],
        "vhosts": [{"name": "/"}],
        "permissions": [{"user": _ADMINISTRATOR, "vhost": "/", **everything}],
    }
