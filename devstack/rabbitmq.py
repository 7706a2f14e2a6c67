"""RabbitMQ as a private server: own node name, cookie, port mapper, configuration and data."""

import hashlib
import secrets
from pathlib import Path
from signal import SIGTERM, Signals

import psutil

from devstack.component import Name
from devstack.launch import Launch, run
from devstack.recipe import Ports, bare_environment

_CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 200MB
max_message_size = 4194304
raft.wal_max_size_bytes = 33554432
log.console = false
"""
"""Server configuration. Limits are absolute because relative ones depend on the machine; a small write-ahead log speeds
up the start after a crash."""

_LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"


class RabbitMQ:
    """RabbitMQ node, started without Debian's wrapper, which requires root and the system's folders."""

    name: Name = "rabbitmq"
    port_names = ("amqp", "epmd", "distribution", "tools")
    process_names = frozenset({"beam.smp", "epmd", "rabbitmq-server"})
    stop_signal: Signals = SIGTERM

    def __init__(self, home: Path, program: Path, mark: str) -> None:
        self._folder = home / "rabbitmq"
        self._program = program
        self._mark = mark
        self.roots = (home,)
        self._node = f"batchyard{hashlib.sha256(str(home).encode()).hexdigest()[:8]}@localhost"
        self.log = home / "log" / "rabbitmq.log"

    async def prepare(self, ports: Ports) -> Launch:
        """Write the configuration, the list of plugins (none) and the cookie."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        (self._folder / "rabbitmq.conf").write_text(_CONFIGURATION.format(amqp=ports["amqp"]), encoding="utf-8")
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
        """Return the address of a virtual host, with the account that RabbitMQ accepts from loopback only."""
        return f"amqp://guest:guest@127.0.0.1:{ports['amqp']}/{vhost}"

    async def initialize(self, ports: Ports) -> None:
        """Do nothing: clients need no further objects."""

    async def create_vhost(self, ports: Ports, vhost: str) -> str:
        """Create an empty virtual host, replacing an older one of this name, and return its address."""
        if vhost in (await self._control(ports, "list_vhosts", "--silent")).split():
            await self._control(ports, "delete_vhost", vhost)
        await self._control(ports, "add_vhost", vhost)
        await self._control(ports, "set_permissions", "--vhost", vhost, "guest", ".*", ".*", ".*")
        return self.url(ports, vhost)

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
