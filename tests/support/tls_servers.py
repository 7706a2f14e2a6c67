"""RabbitMQ, PostgreSQL and Redis that speak TLS with certificates of a private authority, and ask clients for one."""

import os
import shutil
from pathlib import Path

import asyncpg

from devstack.launch import Launch
from devstack.postgres import PostgreSQL, _unprivileged_user
from devstack.rabbitmq import RabbitMQ
from devstack.recipe import Ports
from devstack.redis import Redis
from tests.support.private_ca import Certificate

USER = "by_certificate"


class TlsRabbitMQ(RabbitMQ):
    """Node with a second listener, for TLS."""

    port_names = (*RabbitMQ.port_names, "tls")

    def __init__(self, home: Path, program: Path, mark: str, ca: Path, own: Certificate) -> None:
        super().__init__(home, program, mark)
        self._ca, self._own = ca, own

    async def prepare(self, ports: Ports) -> Launch:
        """Write the configuration."""
        launch = await super().prepare(ports)
        with (self._folder / "rabbitmq.conf").open("a", encoding="utf-8") as configuration:
            configuration.write(
                f"listeners.ssl.1 = 127.0.0.1:{ports['tls']}\n"
                f"ssl_options.cacertfile = {self._ca}\n"
                f"ssl_options.certfile = {self._own.certificate}\n"
                f"ssl_options.keyfile = {self._own.key}\n"
                "ssl_options.verify = verify_peer\n"
                "ssl_options.fail_if_no_peer_cert = true\n"
            )
        return launch


class TlsRedis(Redis):
    """Server with a second port, for TLS."""

    port_names = (*Redis.port_names, "tls")

    def __init__(self, home: Path, program: Path, mark: str, ca: Path, own: Certificate) -> None:
        super().__init__(home, program, mark)
        self._ca, self._own = ca, own

    async def prepare(self, ports: Ports) -> Launch:
        """Write the configuration."""
        launch = await super().prepare(ports)
        with (self._folder / "redis.conf").open("a", encoding="utf-8") as configuration:
            configuration.write(
                f"tls-port {ports['tls']}\n"
                f"tls-ca-cert-file {self._ca}\n"
                f"tls-cert-file {self._own.certificate}\n"
                f"tls-key-file {self._own.key}\n"
                "tls-auth-clients yes\n"
            )
        return launch


async def require_tls(server: PostgreSQL, url: str, ca: Path, own: Certificate) -> None:
    """Make a running PostgreSQL take the user `USER` by TLS with a certificate of the authority alone."""
    connection = await asyncpg.connect(url)
    try:
        folder = Path(await connection.fetchval("SHOW data_directory"))
        for source in (ca, own.certificate, own.key):
            _give(source, folder / source.name)
        for name, file in (("ssl_ca_file", ca), ("ssl_cert_file", own.certificate), ("ssl_key_file", own.key)):
            await connection.execute(f"ALTER SYSTEM SET {name} = '{file.name}'")
        await connection.execute("ALTER SYSTEM SET ssl = on")
        await connection.execute(f"CREATE ROLE {USER} LOGIN")
        _add_rules(Path(await connection.fetchval("SHOW hba_file")))
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


def _add_rules(file: Path) -> None:
    """Put the rules for the user before those that are there."""
    first = f"hostssl all {USER} 127.0.0.1/32 trust clientcert=verify-ca\nhostnossl all {USER} all reject\n"
    file.write_text(first + file.read_text("utf-8"), "utf-8")


def _give(source: Path, target: Path) -> None:
    """Copy a file so that the server alone may read it, as it demands of a private key."""
    shutil.copyfile(source, target)
    if os.geteuid() == 0:
        shutil.chown(target, _unprivileged_user())
    target.chmod(0o600)
