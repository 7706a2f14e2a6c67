"""The demo from its first line to its last: servers, services, one batch, and everything that has to come of it."""

import asyncio
import time
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from batchyard_contracts.client import Notifications
from devstack import AlreadyRunning, default_home, erase
from devstack.state import StackState
from examples.demo.batch import run_batch
from examples.demo.checks import check_all
from examples.demo.files import write_files
from examples.demo.others import check_others, run_others, samples
from examples.demo.report import print_checks, print_failures, print_files, print_others, print_quality
from examples.demo.stand_ins import HOSTS, World, world
from services.cli.client.address import Address
from services.cli.local_cluster import SERVICES, LocalCluster, Plan, local_cluster, webhook_secret
from tests.support.tracklist_kinds import urls

CHECKOUT = Path(__file__).resolve().parents[2]
URLS = 150
MAIL = "dj@example.org"


async def demo(console: Console, folder: Path | None = None) -> bool:
    """Run it and say whether all of it happened as it had to."""
    began = time.monotonic()
    folder = folder or CHECKOUT / "out" / "demo" / datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    home = await _clean_home()
    async with world(webhook_secret(home), CHECKOUT) as around:
        console.print(Text("Servers", "bold"))
        plan = Plan(home, environment=around.environment())
        async with local_cluster(
            plan, lambda line: console.print(f"   {line}", markup=False, soft_wrap=True)
        ) as running:
            console.print(Text("Services", "bold"))
            console.print(f"   {', '.join(SERVICES)}: a process each", soft_wrap=True)
            passed = await _batch(console, running, around, folder)
    console.print(f"   Everything is stopped again. It took {time.monotonic() - began:.0f} s.")
    return passed


async def _clean_home() -> Path:
    """A home of its own, beside the one of `batchyard up`, with nothing of an earlier demo in it."""
    home = default_home() / "demo"
    if (supervisor := StackState(home).read().supervisor) and supervisor.find():
        raise AlreadyRunning(
            f"Process {supervisor.pid} is running the demo. Wait for its end, or run `batchyard down`."
        )
    await erase(home, lambda _: None)
    return home


async def _batch(console: Console, running: LocalCluster, around: World, folder: Path) -> bool:
    batch = urls(around.origins, URLS)
    console.print(Text("One batch", "bold"))
    console.print(f"   {len(batch)} tracklist pages on {len(HOSTS)} hosts of a stand-in site, sent as one AMQP command")
    notify = Notifications(webhooks=[around.receiver.url], emails=[MAIL])
    outcome = await run_batch(running.amqp_url, batch, notify, console)
    calls, letters = await asyncio.gather(around.receiver.wait_for(1), around.mailbox.wait_for(1))
    console.print(Text("Failures by cause", "bold"))
    print_failures(console, outcome.failures)
    console.print(Text("Quality of the tracklists", "bold"))
    print_quality(console, outcome.results)
    address = Address(running.url, running.token)
    written, complete = await write_files(address, outcome.batch_id, folder, outcome.results)
    console.print(Text("Results", "bold"))
    print_files(console, written)
    console.print(Text("Other workloads", "bold"))
    others = await run_others(running, samples(around.origins))
    print_others(console, others)
    checks = [*check_all(batch, outcome, calls, [letter.message for letter in letters]), complete, check_others(others)]
    console.print(Text("Checked", "bold"))
    print_checks(console, checks)
    return all(check.passed for check in checks)
