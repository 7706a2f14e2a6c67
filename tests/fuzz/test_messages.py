"""Odd messages of clients and foreign workers: each is answered or becomes a dead letter, and nothing else happens."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from yarl import URL

from batchyard_contracts.definitions import password_hash
from batchyard_contracts.topology import QUEUES
from batchyard_contracts.v1.queries import WorkloadReply
from devstack import Servers
from tests.support.cluster import Cluster, running_cluster, until_announced
from tests.support.hand_worker import hand_worker
from tests.support.message_storm import TYPES, MessageStorm, message_storm, odd_answers
from tests.support.mutations import bodies
from tests.support.odd_properties import readable, undecodable
from tests.support.patience import PATIENCE_S
from tests.support.servers import IsolatedServers

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.fuzz]
GROUPS, ANSWERS = 25, 200
"""Groups of messages, and answers, that are sent in one test."""
DEFECT = re.compile(r"\w*(Error|Exception|Failed|Lost): ")
"""Reason of a dead letter whose handler met what it did not expect."""
messages = st.sampled_from(TYPES).flatmap(lambda kind: st.tuples(st.just(kind), bodies(kind), readable()))
undecodable_messages = st.sampled_from(TYPES).flatmap(
    lambda kind: st.tuples(st.just(kind), bodies(kind), undecodable())
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(servers: Servers) -> AsyncIterator[Cluster]:
    """The five services, with one worker."""
    async with running_cluster(servers, workers=1) as running:
        yield running


@pytest.fixture
def sender_url(servers: Servers, shared_servers: IsolatedServers, tmp_path: Path) -> str:
    """Address of RabbitMQ with a user who has all rights, and quotas of invalid messages that nobody has used."""
    url, user = URL(servers.amqp_url), f"storm-{uuid4().hex[:8]}"
    rights = {"user": user, "vhost": url.path.removeprefix("/"), "configure": ".*", "write": ".*", "read": ".*"}
    login = {"password_hash": password_hash(user, b"salt"), "hashing_algorithm": "rabbit_password_hashing_sha256"}
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps({"users": [{"name": user, "tags": "", **login}], "permissions": [rights]}))
    shared_servers.import_definitions(file)
    return str(url.with_user(user).with_password(user))


@pytest_asyncio.fixture(loop_scope="session")
async def storm(cluster: Cluster, sender_url: str) -> AsyncIterator[MessageStorm]:
    """A sender, and the workload of a foreign worker."""
    manifest: dict[str, Any] = {"source_schema": {}, "summary_schema": {}, "questions": {}}
    async with (
        hand_worker(cluster.servers.amqp_url, **manifest) as worker,
        message_storm(cluster, worker, sender_url) as sender,
    ):
        yield sender


async def test_odd_messages_are_answered_or_kept_with_a_reason(
    cluster: Cluster, storm: MessageStorm, fuzz_seed: int
) -> None:
    async def send(group: list[tuple[str, bytes, dict[str, Any]]]) -> None:
        for message in group:
            await storm.send(*message)
        await storm.check()

    await _send_all(st.lists(messages, min_size=20, max_size=60), send, fuzz_seed, GROUPS)
    await _check_dead_letters(cluster, storm)


async def test_properties_that_do_not_decode_cost_their_message_alone(
    cluster: Cluster, storm: MessageStorm, fuzz_seed: int
) -> None:
    async def send(group: list[tuple[str, bytes, dict[str, bytes]]]) -> None:
        for message in group:
            await storm.send_odd(*message)
        await storm.check()

    await _send_all(st.lists(undecodable_messages, min_size=20, max_size=60), send, fuzz_seed, GROUPS)
    async with cluster.http.get("dead-letters", params={"limit": 100}) as response:
        assert response.status == 200
    await _check_dead_letters(cluster, storm)


async def test_odd_answers_of_workers_are_passed_on_or_said_to_be_invalid(cluster: Cluster, fuzz_seed: int) -> None:
    questions = {"ask": {"request_schema": {}, "answer_schema": {"type": "object"}, "timeout_s": 2.0}}
    async with (
        hand_worker(cluster.servers.amqp_url, questions=questions) as worker,
        odd_answers(cluster.servers.amqp_url, worker.manifest.name, "ask") as answers,
    ):
        await until_announced(cluster.http, worker.manifest.name)

        async def ask(answer: bytes) -> None:
            answers.append(answer)
            async with cluster.http.post(f"workloads/{worker.manifest.name}/questions/ask", json={}) as response:
                assert response.status in {200, 422, 502}
                orjson.loads(await response.read())

        await _send_all(bodies(WorkloadReply.type), ask, fuzz_seed, ANSWERS)
    assert cluster.defects() == []


async def _send_all(
    drawn: st.SearchStrategy[Any], send: Callable[[Any], Coroutine[Any, Any, None]], fuzz_seed: int, count: int
) -> None:
    """Draw values in a thread, since Hypothesis blocks, and send them from this loop."""
    loop = asyncio.get_running_loop()

    @seed(fuzz_seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn)
    def send_all(value: Any) -> None:
        asyncio.run_coroutine_threadsafe(send(value), loop).result()

    await asyncio.to_thread(send_all)


async def _check_dead_letters(cluster: Cluster, storm: MessageStorm) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await storm.waiting(QUEUES):  # noqa: ASYNC110  a queue has no event
            await asyncio.sleep(0.1)
    letters = await storm.take_dead_letters()
    assert letters
    assert [letter for letter in letters if DEFECT.match(letter[1])] == []
    assert cluster.defects() == []
