"""Clips through the real services: drawn here, made by a provider, kept in a folder; never two jobs for one of them."""

import asyncio
import hashlib
import random
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio

from batchyard_contracts.client import BatchRefused
from batchyard_contracts.v1.events import BatchFinished, BatchProgressed
from batchyard_contracts.v1.values import Terms
from devstack import Servers
from services.worker.workloads.videos.model import Clip
from tests.support import video_dialect
from tests.support.cluster import Cluster, running_cluster
from tests.support.patience import PATIENCE_S, until_true
from tests.support.video_dialect import VideoDialect
from tests.support.video_jobs import FILE

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.faults]
ROUNDS = 2
"""Rounds of five kills each; two take a minute."""
ITEMS = 6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(servers: Servers) -> AsyncIterator[tuple[Cluster, VideoDialect]]:
    """A cluster whose workers make clips by a server of the dialect."""
    async with video_dialect.video_dialect() as server:
        environment = {
            "BATCHYARD_WORKER_WORKLOADS": '["videos"]',
            "BATCHYARD_VIDEOS_PROVIDER": "openai",
            "BATCHYARD_VIDEOS_URL": server.url,
            "BATCHYARD_VIDEOS_KEY": video_dialect.KEY,
            "BATCHYARD_VIDEOS_POLL_S": "0.2",
            "BATCHYARD_VIDEOS_SETTLE_S": "2",
            "BATCHYARD_VIDEOS_JOBS": "100",
        }
        async with running_cluster(servers, environment, known=("videos",)) as running:
            yield running, server


async def clips(cluster: Cluster, batch_id: UUID) -> list[Clip]:
    results = [item async for item in cluster.client.results(batch_id, status="succeeded")]
    return [Clip.model_validate(item.result) for item in results]


async def errors(cluster: Cluster, batch_id: UUID) -> dict[int, str]:
    """Error codes by ordinal."""
    failed = [item async for item in cluster.client.results(batch_id, status="failed")]
    return {item.ordinal: item.error.code for item in failed if item.error}


async def test_a_batch_of_clips_is_made_by_a_provider(cluster: tuple[Cluster, VideoDialect]) -> None:
    running, server = cluster
    prompts = ["good crane", "mute crane", "moderated crane", "failing-once crane"]
    accepted = await running.client.submit("videos", [{"prompt": p, "seconds": 4} for p in prompts])
    finished = await running.client.wait(accepted.batch_id, PATIENCE_S)
    assert (finished.result, finished.counts.succeeded) == ("partial", 3)
    assert await errors(running, accepted.batch_id) == {2: "moderated"}
    for clip in await clips(running, accepted.batch_id):
        file = Path(clip.uri.removeprefix("file://"))
        assert file.is_relative_to(running.folder / "videos")
        assert hashlib.sha256(file.read_bytes()).hexdigest() == clip.sha256  # noqa: ASYNC240
        assert (clip.bytes, clip.provider, clip.seconds) == (len(FILE), "openai", 4.0)
    assert [server.jobs.created[p] for p in prompts] == [1, 1, 1, 2]


async def test_jobs_are_cancelled_with_their_batch(cluster: tuple[Cluster, VideoDialect]) -> None:
    running, server = cluster
    prompts = [f"endless cancelled {n}" for n in range(4)]
    accepted = await running.client.submit("videos", [{"prompt": p} for p in prompts])
    await _created(server, prompts)
    await running.client.control(accepted.batch_id, "cancel")
    finished = await running.client.wait(accepted.batch_id, PATIENCE_S)
    assert (finished.result, finished.counts.cancelled) == ("cancelled", 4)
    await _cancelled(server, prompts)


async def test_jobs_are_cancelled_at_the_deadline_of_their_batch(cluster: tuple[Cluster, VideoDialect]) -> None:
    running, server = cluster
    prompts = [f"endless expired {n}" for n in range(4)]
    terms = Terms(deadline=datetime.now(UTC) + timedelta(seconds=4))
    accepted = await running.client.submit("videos", [{"prompt": p} for p in prompts], terms=terms)
    finished = await running.client.wait(accepted.batch_id, PATIENCE_S)
    assert finished.counts.expired == 4
    made = [p for p in prompts if server.jobs.created[p]]
    assert made
    await _cancelled(server, made)


async def test_a_batch_of_more_clips_than_may_be_is_refused(cluster: tuple[Cluster, VideoDialect]) -> None:
    running, _ = cluster
    with pytest.raises(BatchRefused, match="at most 10 items"):
        await running.client.submit("videos", [{"prompt": f"good {n}"} for n in range(11)])


async def test_watchers_hear_how_far_clips_are(cluster: tuple[Cluster, VideoDialect]) -> None:
    running, _ = cluster
    accepted = await running.client.submit("videos", [{"prompt": "endless progress"}])
    async with asyncio.timeout(PATIENCE_S), running.client.events(accepted.batch_id) as events:
        async for event in events:
            if isinstance(event, BatchProgressed) and event.progress == 0.99:
                break
    await running.client.control(accepted.batch_id, "cancel")
    await running.client.wait(accepted.batch_id, PATIENCE_S)


async def _created(server: VideoDialect, prompts: list[str]) -> None:
    await until_true(lambda: all(server.jobs.created[p] for p in prompts))


async def _cancelled(server: VideoDialect, prompts: list[str]) -> None:
    await until_true(lambda: all(job.cancelled for job in server.jobs.made.values() if job.prompt in prompts))
    assert all(server.jobs.created[p] == 1 for p in prompts)


async def test_no_kill_at_any_moment_makes_a_second_job(cluster: tuple[Cluster, VideoDialect]) -> None:
    """In each round both workers twice and, in its turn, the dispatcher, while several items are in every
    step of their way."""
    running, server = cluster
    chance, kills = random.Random(50), 0
    batches: dict[UUID, list[str]] = {}
    for round_ in range(ROUNDS):
        prompts = [f"{'mute' if n == 0 else 'good'} {round_}-{n}" for n in range(ITEMS)]
        accepted = await running.client.submit("videos", [{"prompt": p} for p in prompts])
        batches[accepted.batch_id] = prompts
        for name in ("worker-1", "worker-2", "dispatcher", "worker-1", "worker-2"):
            await asyncio.sleep(chance.uniform(0.0, 0.8))
            await running.supervisor.ready(name)
            running.supervisor.kill(name, signal.SIGKILL)
            kills += 1
    assert kills == 5 * ROUNDS
    ends: list[BatchFinished] = []
    for batch_id, prompts in batches.items():
        finished = await running.client.wait(batch_id, PATIENCE_S)
        ends.append(finished)
        await running.check_ledger(batch_id, ITEMS)
        failed = await errors(running, batch_id)
        for ordinal, prompt in enumerate(prompts):
            created = server.jobs.created[prompt]
            assert created <= 1, prompt
            # Whoever loses its worker again and again is given up, whatever it has at its provider.
            allowed = {None, "worker_lost"} if created else {"worker_lost", "needs_review"}
            assert failed.get(ordinal) in allowed, (prompt, created, failed)
    assert sum(end.counts.succeeded for end in ends) > 0, "on a busy machine most of them lose too many workers"
