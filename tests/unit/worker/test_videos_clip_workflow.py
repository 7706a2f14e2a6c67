"""A clip's way through a provider, step by step against servers that misbehave: never a second job for one clip."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.workload import (
    Ambiguous,
    Context,
    Continuation,
    Permanent,
    RateLimited,
    Transient,
    WorkloadError,
)
from services.worker.workloads.videos.artefacts.store import ClipStore
from services.worker.workloads.videos.clip_workflow import READY_S, ClipWorkflow
from services.worker.workloads.videos.model import Clip, Video
from services.worker.workloads.videos.opening import provider_of
from services.worker.workloads.videos.providers.client import open_client
from services.worker.workloads.videos.settings import VideosSettings
from shared.artefacts.folder import FolderStore
from tests.support import video_dialect, video_replicate
from tests.support.spending_limit import SpendingLimit
from tests.support.video_jobs import FILE, VideoJobs

BATCH = UUID("0197f2d4-0000-7000-8000-000000000001")


class _Slots:
    """As many as are wanted."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.most = 100
        self.owners: dict[str, str] = {}

    async def take(self, item: str) -> bool:
        if item not in self.held and len(self.held) >= self.most:
            return False
        self.held.add(item)
        return True

    async def keep(self, item: str) -> None:
        self.held.add(item)

    async def free(self, item: str) -> None:
        self.held.discard(item)

    async def claim(self, job_id: str, item: str) -> bool:
        return self.owners.setdefault(job_id, item) == item

    async def unclaimed(self, job_ids: list[str], item: str) -> list[str]:
        return [job_id for job_id in job_ids if self.owners.get(job_id, item) == item]


@dataclass
class Rig:
    """A provider, and a way to run items step by step, as the dispatcher would."""

    jobs: VideoJobs
    workflow: ClipWorkflow
    slots: _Slots
    folder: Path
    now: list[float]
    seen: list[Continuation] = field(default_factory=list)

    def limit(self, most: float) -> None:
        """Limit what the batch may cost."""
        self.workflow = replace(self.workflow, spending=SpendingLimit(most))  # type: ignore[arg-type]

    def context(self, state: Any = None, ordinal: int = 0, *, rerun: bool = False) -> Context:
        return Context(BATCH, ordinal, 1, 1, "", state=state, rerun=rerun)

    async def step(self, prompt: str, state: Any = None, ordinal: int = 0, *, rerun: bool = False, **more: Any) -> Any:
        """One run: the state it leaves, or the clip."""
        answer = await self.workflow.run(Video(prompt=prompt, **more), self.context(state, ordinal, rerun=rerun))
        if isinstance(answer, Continuation):
            self.seen.append(answer)
            return answer.state
        return answer

    async def whole(self, prompt: str, state: Any = None, ordinal: int = 0, **more: Any) -> Clip:
        """Run it to its end; time passes as it asks for."""
        for _ in range(100):
            answer = await self.step(prompt, state, ordinal, **more)
            if isinstance(answer, Clip):
                return answer
            self.now[0] += self.seen[-1].delay_s
            state = answer
        raise AssertionError("It has no end.")

    async def error(self, prompt: str, state: Any = None, **more: Any) -> WorkloadError:
        with pytest.raises(WorkloadError) as caught:
            await self.whole(prompt, state, **more)
        return caught.value


@pytest.fixture(params=["openai", "replicate"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_of(request.param, tmp_path) as made:
        yield made


@pytest.fixture
async def dialect(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_of("openai", tmp_path) as made:
        yield made


@asynccontextmanager
async def rig_of(name: str, folder: Path, jobs: VideoJobs | None = None, **more: Any) -> AsyncIterator[Rig]:
    serve: Callable[..., Any] = video_dialect.video_dialect if name == "openai" else video_replicate.video_replicate
    key = video_dialect.KEY if name == "openai" else video_replicate.KEY
    async with serve(jobs) as server:
        settings = VideosSettings.model_validate(
            {
                "provider": name,
                "url": server.url,
                "key": key,
                "model": "acme/clips",
                "store": str(folder),
                "allowed_networks": "127.0.0.0/8",
                "settle_s": 20,
                **more,
            }
        )
        async with open_client(settings) as client:
            slots, now = _Slots(), [time.time()]
            provider = provider_of(settings, client)
            workflow = ClipWorkflow(provider, settings, ClipStore(FolderStore(folder)), slots, lambda: now[0])  # type: ignore[arg-type]
            yield Rig(server.jobs, workflow, slots, folder, now)


async def test_an_item_passes_through_the_provider_to_its_clip(rig: Rig) -> None:
    clip = await rig.whole("good morning", seconds=8, seed=7)

    file = Path(clip.uri.removeprefix("file://"))
    assert file.read_bytes() == FILE  # noqa: ASYNC240
    assert file.relative_to(rig.folder).as_posix() == f"{BATCH}/0-1.png", "by what it is, not by what was said of it"
    assert (clip.bytes, clip.sha256) == (len(FILE), hashlib.sha256(FILE).hexdigest())
    assert (clip.content_type, clip.seconds, clip.provider) == ("image/apng", 8.0, rig.workflow.provider.name)
    assert rig.jobs.created == {"good morning": 1}
    assert not rig.slots.held
    assert [p.name for p in file.parent.iterdir()] == [file.name], "nothing is left of the download"


async def test_the_intent_is_on_record_before_the_job_and_its_id_right_after(rig: Rig) -> None:
    intent = await rig.step("good")
    assert (intent["step"], rig.seen[-1].delay_s, rig.jobs.created) == ("intended", 0.0, {})
    made = await rig.step("good", intent)
    assert (made["step"], made["job_id"]) == ("made", next(iter(rig.jobs.made)))
    assert rig.jobs.references == [f'"{BATCH}:0:1:1"']


async def test_a_run_that_may_not_be_the_first_creates_nothing_and_finds_the_job(rig: Rig) -> None:
    for ordinal in range(3):  # so that the list has several pages
        await rig.whole(f"other {ordinal}", ordinal=ordinal + 1)
    intent = await rig.step("good", seconds=8)
    lost = await rig.step("good", intent, seconds=8)

    unsure = await rig.step("good", intent, rerun=True, seconds=8)
    found = await rig.step("good", unsure, seconds=8)
    assert found["job_id"] == lost["job_id"]
    await rig.whole("good", found, seconds=8)
    assert rig.jobs.created["good"] == 1


async def test_a_job_that_is_older_or_asks_for_another_thing_is_not_taken(rig: Rig) -> None:
    rig.now[0] -= 100
    await rig.whole("good", seed=1)
    for job in rig.jobs.made.values():
        job.created_at -= 100
    rig.now[0] = time.time()
    await rig.step("good", await rig.step("good", ordinal=1, seed=2), ordinal=1, seed=2)

    intent = await rig.step("good", ordinal=2, seed=1)
    with pytest.raises(Ambiguous, match="lists none"):
        await rig.step("good", {**intent, "step": "unsure", "since": rig.now[0] - 21}, ordinal=2, seed=1)


async def test_two_that_could_be_it_are_for_a_person(dialect: Rig) -> None:
    intents = [await dialect.step("twins", ordinal=n) for n in range(2)]
    made = [await dialect.step("twins", intents[n], n) for n in range(2)]
    unsure = await dialect.step("twins", intents[1], 1, rerun=True)
    assert (await dialect.step("twins", unsure, 1))["job_id"] == made[1]["job_id"], (
        "the other one is known to be another's"
    )
    dialect.slots.owners.clear()
    with pytest.raises(Ambiguous, match="lists 2"):
        await dialect.step("twins", unsure, 1)


async def test_a_reference_that_the_server_shows_tells_twins_apart(tmp_path: Path) -> None:
    async with rig_of("openai", tmp_path, reference="metadata") as rig:
        intents = [await rig.step("twins", ordinal=n) for n in range(2)]
        made = [await rig.step("twins", intents[n], n) for n in range(2)]
        rig.slots.owners.clear()
        found = await rig.step("twins", await rig.step("twins", intents[1], 1, rerun=True), 1)
        assert found["job_id"] == made[1]["job_id"]


@pytest.mark.parametrize("prompt", ["mute", "unlisted", "broken"])
async def test_a_creating_call_without_an_answer_is_looked_for_and_never_repeated(dialect: Rig, prompt: str) -> None:
    if prompt == "mute":
        await dialect.whole(prompt)
    else:
        error = await dialect.error(prompt)
        assert isinstance(error, Ambiguous)
        assert error.code == "needs_review"
    assert dialect.jobs.calls[f"create {prompt}"] == 1, "asked once, whatever came of it"


async def test_an_operator_may_have_it_made_once_more(tmp_path: Path) -> None:
    async with rig_of("openai", tmp_path, uncertain="create", settle_s=1) as rig:
        error = await rig.error("broken")
        assert rig.jobs.calls["create broken"] == 2
        assert "lists none" in error.message


async def test_an_interrupted_creation_says_what_came_of_it(dialect: Rig) -> None:
    intent = await dialect.step("good")
    running = asyncio.create_task(dialect.step("good", intent))
    while not dialect.jobs.created:  # noqa: ASYNC110  the server has no way to tell
        await asyncio.sleep(0.001)
    running.cancel()
    assert (await running)["step"] == "made"


async def test_an_interrupted_creation_without_an_answer_is_unsure(
    dialect: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.worker.workloads.videos.clip_workflow._LAST_WORD_S", 0.01)
    called = asyncio.Event()

    async def hang(_: object) -> None:
        called.set()
        await asyncio.Event().wait()

    intent = await dialect.step("good")
    monkeypatch.setattr(type(dialect.workflow.provider), "create", lambda _, wanted: hang(wanted))
    running = asyncio.create_task(dialect.step("good", intent))
    await called.wait()
    running.cancel()
    assert (await running)["step"] == "unsure"


@pytest.mark.parametrize(
    ("prompt", "kind", "code", "scope"),
    [
        ("refused", Permanent, "moderated", "item"),
        ("wrong", Permanent, "invalid_request", "item"),
        ("broke", Permanent, "insufficient_credit", "provider"),
        ("gone", Permanent, "not_found", "provider"),
        ("moderated", Permanent, "moderated", "item"),
        ("failing", Permanent, "job_failed", "item"),
        ("forgotten", Permanent, "job_lost", "item"),
        ("expired", Permanent, "artefact_expired", "item"),
        ("page", Permanent, "invalid_artefact", "item"),
        ("endless", Permanent, "job_timeout", "item"),
    ],
)
async def test_a_refusal_of_the_provider_becomes_the_error_that_it_means(
    dialect: Rig, prompt: str, kind: type, code: str, scope: str
) -> None:
    error = await dialect.error(prompt)
    assert (type(error), error.code, error.scope) == (kind, code, scope)
    assert dialect.jobs.created[prompt] == {"failing": 2}.get(
        prompt, prompt not in {"refused", "wrong", "broke", "gone"}
    )
    assert not dialect.slots.held
    assert all(job.cancelled for job in dialect.jobs.made.values()) == (prompt == "endless") or not dialect.jobs.made


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("wrong", "invalid_request"),
        ("broke", "insufficient_credit"),
        ("moderated", "moderated"),
        ("expired", "artefact_expired"),
    ],
)
async def test_a_refusal_of_replicate_becomes_the_error_that_it_means(tmp_path: Path, prompt: str, code: str) -> None:
    async with rig_of("replicate", tmp_path) as rig:
        assert (await rig.error(prompt)).code == code


async def test_a_model_that_the_item_names_is_its_own_fault(dialect: Rig) -> None:
    assert (await dialect.error("gone", model="none-such")).scope == "item"


@pytest.mark.parametrize("word", ["succeeded", "SUCCESS", "Completed", "done", "finished", "ready"])
async def test_any_word_for_success_leads_to_the_clip(dialect: Rig, word: str) -> None:
    await dialect.whole(f"status:{word}")
    assert dialect.jobs.created[f"status:{word}"] == 1


@pytest.mark.parametrize(
    ("word", "code", "jobs"),
    [
        ("canceled", "cancelled_at_provider", 1),
        ("expired", "job_failed", 2),
        ("error", "job_failed", 2),
        ("content_filtered", "moderated", 1),
        ("sparkling", "job_timeout", 1),
    ],
)
async def test_a_word_for_another_end_is_understood_or_named(dialect: Rig, word: str, code: str, jobs: int) -> None:
    error = await dialect.error(f"status:{word}")
    assert (error.code, dialect.jobs.created[f"status:{word}"]) == (code, jobs)
    assert not any(job.cancelled for job in dialect.jobs.made.values()), "what may have finished is not deleted"
    if code == "job_timeout":
        assert "'sparkling'" in error.message


@pytest.mark.parametrize("status", [202, 404, 409, 425])
async def test_a_file_that_is_not_there_yet_is_asked_for_again(dialect: Rig, status: int) -> None:
    await dialect.whole(f"content:{status}")
    assert dialect.jobs.calls[f"content content:{status}"] == 3


@pytest.mark.parametrize("prompt", ["expired", "page"])
async def test_a_file_that_never_comes_is_asked_for_during_minutes_and_not_deleted(dialect: Rig, prompt: str) -> None:
    began = dialect.now[0]
    await dialect.error(prompt)
    assert dialect.now[0] - began > READY_S
    assert not any(job.cancelled for job in dialect.jobs.made.values())


@pytest.mark.parametrize("code", ["content_filter", "sensitive_content", "content_policy_violation", "SAFETY.INPUT"])
async def test_a_refusal_of_the_content_costs_one_job(dialect: Rig, code: str) -> None:
    error = await dialect.error(f"error:{code}")
    assert (error.code, dialect.jobs.created[f"error:{code}"]) == ("moderated", 1)


@pytest.mark.parametrize("shape", ["text", "object", "objects", "nested", "picture-first", "data"])
async def test_the_clip_is_found_in_an_output_of_any_shape(tmp_path: Path, shape: str) -> None:
    async with rig_of("replicate", tmp_path) as rig:
        clip = await rig.whole(f"output:{shape}")
        assert clip.sha256 == hashlib.sha256(FILE).hexdigest()
        assert (await rig.error("output:nothing")).code == "invalid_response"
        assert not any(job.cancelled for job in rig.jobs.made.values())


async def test_no_job_is_created_beyond_the_limit_of_a_batch(tmp_path: Path) -> None:
    async with rig_of("openai", tmp_path, price_per_second=0.5, max_cost=5) as rig:
        rig.limit(5)
        for ordinal in range(2):
            await rig.whole("good", ordinal=ordinal, seconds=4)
        with pytest.raises(Permanent) as caught:
            await rig.whole("good", ordinal=2, seconds=4)
        assert (caught.value.code, rig.jobs.created["good"]) == ("over_budget", 2)
        assert not rig.slots.held


@pytest.mark.parametrize("prompt", ["failing-once", "forgotten-once", "truncated-once", "stumbling", "silent"])
async def test_a_passing_failure_still_ends_in_a_clip(dialect: Rig, prompt: str) -> None:
    clip = await dialect.whole(prompt)
    assert clip.sha256 == hashlib.sha256(FILE).hexdigest()
    assert dialect.jobs.created[prompt] == (2 if prompt == "failing-once" else 1)


async def test_a_rate_limit_says_for_how_long(rig: Rig) -> None:
    intent = await rig.step("limited-once")
    with pytest.raises(RateLimited) as caught:
        await rig.step("limited-once", intent)
    assert caught.value.delay_s == (0.3 if rig.workflow.provider.name == "openai" else 1.0)
    await rig.whole("limited-once", intent)
    assert rig.jobs.created["limited-once"] == 1


async def test_a_provider_that_is_away_was_asked_for_nothing(tmp_path: Path) -> None:
    async with rig_of("openai", tmp_path, url="http://127.0.0.1:9") as rig:
        intent = await rig.step("good")
        with pytest.raises(Transient) as caught:
            await rig.step("good", intent)
        assert caught.value.code == "unreachable"


async def test_polls_become_rarer_and_tell_how_far_it_is(tmp_path: Path) -> None:
    async with rig_of("openai", tmp_path, VideoJobs(polls=12), poll_s=1, deadline_s=900) as rig:
        await rig.whole("good")
        waits = [c.delay_s for c in rig.seen if isinstance(c.state, dict) and c.state["step"] == "made"]
        assert waits[0] < 1.2
        assert 5 < waits[-1] < 7
        told = [c.progress for c in rig.seen if c.progress is not None]
        assert told == sorted(told)
        assert told[0] < 0.2
        assert told[-1] > 0.8


async def test_no_more_jobs_than_there_are_places(dialect: Rig) -> None:
    dialect.slots.most = 1
    intent = await dialect.step("good", ordinal=0)
    waiting = await dialect.step("good", ordinal=1)
    assert (intent["step"], waiting["step"]) == ("intended", "waiting")
    await dialect.whole("good", intent, 0)
    assert (await dialect.step("good", waiting, 1))["step"] == "intended"


async def test_cancelling_reaches_the_provider(rig: Rig) -> None:
    intent = await rig.step("good")
    made = await rig.step("good", intent)
    await rig.workflow.cancel(rig.context(made))
    assert rig.jobs.made[made["job_id"]].cancelled
    assert not rig.slots.held
    await rig.workflow.cancel(rig.context())
    await rig.workflow.cancel(rig.context({**made, "job_id": "unknown"}))


async def test_a_clip_that_is_too_large_is_not_kept(tmp_path: Path) -> None:
    async with rig_of("openai", tmp_path, max_bytes=1000) as rig:
        assert (await rig.error("good")).code == "artefact_too_large"
        assert not [p for p in tmp_path.rglob("*") if p.is_file()]  # noqa: ASYNC240


async def test_a_clip_at_an_address_that_is_not_public(tmp_path: Path) -> None:
    async with rig_of("replicate", tmp_path, allowed_networks="") as rig:
        assert (await rig.error("good")).code == "address_refused"


async def test_another_provider_is_not_asked_for_the_job(dialect: Rig) -> None:
    made = {"step": "made", "provider": "replicate", "since": dialect.now[0], "job_id": "r1"}
    with pytest.raises(Ambiguous, match="r1 at replicate"):
        await dialect.step("good", made)
