"""The world around the demo, all of it real servers on loopback: sites and APIs, a webhook receiver, a mail server."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.mailbox import Mailbox
from tests.support.property_radar import TOKEN, PropertyRadar, property_radar
from tests.support.webhook_receiver import WebhookReceiver

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
_READY_WITHIN = 20.0


@dataclass(frozen=True)
class World:
    """Servers around the cluster, once they listen."""

    origins: list[str]
    receiver: WebhookReceiver
    mailbox: Mailbox
    radar: PropertyRadar

    def environment(self) -> dict[str, str]:
        """The variables by which the services are allowed to reach it."""
        return {
            "BATCHYARD_TRACKLISTS_ORIGINS": ",".join(self.origins),
            "BATCHYARD_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "BATCHYARD_HTTP_CALLS_ALLOWED_NETWORKS": "127.0.0.0/8",
            "BATCHYARD_SMTP_URL": self.mailbox.url,
            "BATCHYARD_LEADS_URL": self.radar.url,
            "BATCHYARD_LEADS_KEY": TOKEN,
            "BATCHYARD_LEADS_ALLOW_CHARGES": "true",
        }


@asynccontextmanager
async def world(secret: str, checkout: Path) -> AsyncIterator[World]:
    """Start it, and stop it at the end. The site is a process of its own, as it would be."""
    async with (
        _site(checkout) as origins,
        WebhookReceiver(secret) as receiver,
        Mailbox() as mailbox,
        property_radar() as radar,
    ):
        yield World(origins, receiver, mailbox, radar)


@asynccontextmanager
async def _site(checkout: Path) -> AsyncIterator[list[str]]:
    argv = [sys.executable, "-m", "tests.support.tracklist_site"]
    for host in HOSTS:
        argv += ["--host", host]
    process = await asyncio.create_subprocess_exec(*argv, cwd=checkout, stdout=PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_READY_WITHIN):
            line = await process.stdout.readline()
        yield json.loads(line)["origins"]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
