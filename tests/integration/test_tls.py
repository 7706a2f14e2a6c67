"""Connections by TLS to real servers with certificates of a private authority, and with a certificate of the client."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiormq.exceptions import AMQPConnectionError
from redis.exceptions import RedisError
from yarl import URL

from devstack import Servers
from devstack.component import Name
from devstack.postgres import PostgreSQL
from devstack.private import PrivateServer, process_mark
from devstack.programs import ProgramFinder
from devstack.recipe import Recipe
from devstack.state import StackState
from services.notifier.delivery.email_body import sender_address
from services.notifier.delivery.mail_sender import MailSender
from services.notifier.delivery.smtp_relay import parse_relay
from shared.messaging.connection import connect_once
from shared.redis.client import RedisClient
from shared.runtime.settings import Settings
from tests.support.finished_batches import claimed
from tests.support.mailbox import Mailbox
from tests.support.patience import until
from tests.support.private_ca import Certificate, PrivateCa
from tests.support.running_ingest import start_ingest
from tests.support.servers import do_without
from tests.support.tls_servers import USER, TlsRabbitMQ, TlsRedis, require_tls

pytestmark = pytest.mark.long


@dataclass(frozen=True, slots=True)
class Papers:
    """Certificates of a test: those that belong together, and an authority that nobody knows."""

    ca: PrivateCa
    server: Certificate
    client: Certificate
    other_ca: PrivateCa

    def settings(self, *, ca: Path | None = None, client: bool = True, **urls: Any) -> Settings:
        """Return settings of a service that trusts the authority, or another one, and shows its certificate or none."""
        files: dict[str, Any] = (
            {"tls_certificate_file": self.client.certificate, "tls_key_file": self.client.key} if client else {}
        )
        return Settings(tls_ca_file=ca or self.ca.file, **files, **urls)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("tls")
    ca = PrivateCa(folder / "ca")
    return Papers(ca, ca.issue("server"), ca.issue("client"), PrivateCa(folder / "other"))


def program(name: Name) -> Path:
    found = ProgramFinder().find(name)
    if found is None:
        do_without(f"{name} is not on this machine.")
    return found


async def started(recipe: Recipe, home: Path) -> AsyncIterator[dict[str, int]]:
    server = PrivateServer(recipe, StackState(home))
    try:
        await server.start()
        yield dict(server._record().ports)
    finally:
        await server.stop()


async def test_rabbitmq(papers: Papers, tmp_path: Path) -> None:
    mark = process_mark("rabbitmq", tmp_path)
    recipe = TlsRabbitMQ(tmp_path, program("rabbitmq"), mark, papers.ca.file, papers.server)
    async for ports in started(recipe, tmp_path):
        url = str(URL(recipe.url(ports)).with_scheme("amqps").with_port(ports["tls"]))
        connection = await connect_once(papers.settings(amqp_url=url).amqp_url, "test")
        channel = await connection.channel()
        await channel.declare_queue(exclusive=True)
        await connection.close()
        for wrong in (
            papers.settings(amqp_url=url, ca=papers.other_ca.file),
            papers.settings(amqp_url=url, client=False),
        ):
            with pytest.raises((AMQPConnectionError, OSError)):
                await connect_once(wrong.amqp_url, "test")


async def test_postgresql(papers: Papers, tmp_path: Path) -> None:
    recipe = PostgreSQL(tmp_path, program("postgres"), process_mark("postgres", tmp_path), print)
    async for ports in started(recipe, tmp_path):
        await require_tls(recipe, recipe.url(ports), papers.ca.file, papers.server)
        url = f"postgresql://{USER}@127.0.0.1:{ports['postgres']}/batchyard"

        async def encrypted(settings: Settings) -> bool:
            connection = await asyncpg.connect(settings.database_url)
            try:
                return bool(await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
            finally:
                await connection.close()

        await until(partial(_is_reloaded, recipe.url(ports)))
        assert await encrypted(papers.settings(database_url=url))
        with pytest.raises(ssl.SSLError):
            await encrypted(papers.settings(database_url=url, ca=papers.other_ca.file))
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await encrypted(papers.settings(database_url=url, client=False))


async def _is_reloaded(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return bool(await connection.fetchval("SHOW ssl") == "on")
    finally:
        await connection.close()


async def test_redis(papers: Papers, tmp_path: Path) -> None:
    recipe = TlsRedis(tmp_path, program("redis"), process_mark("redis", tmp_path), papers.ca.file, papers.server)
    async for ports in started(recipe, tmp_path):
        url = str(URL(recipe.url(ports)).with_scheme("rediss").with_port(ports["tls"]))
        for settings, is_right in (
            (papers.settings(redis_url=url), True),
            (papers.settings(redis_url=url, ca=papers.other_ca.file), False),
            (papers.settings(redis_url=url, client=False), False),
        ):
            redis = RedisClient(settings.redis_url, deadline_s=5.0)
            try:
                assert await redis.client.ping() is True
                assert is_right
            except (RedisError, OSError):
                assert not is_right
            finally:
                await redis.close()


async def test_a_mail_server(papers: Papers) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.server.certificate, papers.server.key)
    async with Mailbox(tls=context, login=("user", "password")) as mailbox:
        for ca, outcome in ((papers.ca, "delivered"), (papers.other_ca, "retry")):
            tls = papers.settings(ca=ca.file).tls_files.context()
            sender = MailSender(parse_relay(mailbox.url), sender_address("noreply@b.example"), 5.0, tls=tls)
            assert (await sender.send(claimed("email", "ann@a.example"))).outcome == outcome
        (letter,) = mailbox.letters
        assert letter.tls


async def test_the_http_api(papers: Papers, clean: Servers) -> None:
    files = {
        "http_tls_certificate_file": papers.server.certificate,
        "http_tls_key_file": papers.server.key,
        "http_tls_client_ca_file": papers.ca.file,
    }
    right = papers.settings().tls_files.context()
    async with start_ingest(clean, **files) as port, aiohttp.ClientSession() as http:
        url = f"https://127.0.0.1:{port}/api/v1/meta"
        async with http.get(url, ssl=right) as response:
            assert response.status == 200
        for wrong in (papers.settings(ca=papers.other_ca.file), papers.settings(client=False)):
            with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                async with http.get(url, ssl=wrong.tls_files.context()):
                    pass
        with pytest.raises(aiohttp.ClientError):
            async with http.get(url.replace("https:", "http:")):
                pass
