"""The workload against the stand-in site, over real HTTP, and the rules for what it may fetch."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import jsonschema_rs
import pytest
from pydantic import ValidationError
from yarl import URL

from batchyard_contracts.partition import has_circuit
from batchyard_contracts.v1.values import Rate
from batchyard_contracts.workload import Context, Permanent, RateLimited, Transient, WorkloadError
from services.worker.workloads.tracklists import workload
from services.worker.workloads.tracklists.fetch import Fetcher, open_fetcher
from services.worker.workloads.tracklists.model import MAX_HTML_CHARS, TracklistItem, TracklistResult
from services.worker.workloads.tracklists.policy import FetchPolicy
from services.worker.workloads.tracklists.settings import TracklistsSettings
from tests.support.patience import PATIENCE_S
from tests.support.tracklist_kinds import KINDS, Kind
from tests.support.tracklist_site import (
    TracklistSite,
    expected,
    good_page,
    made_set,
    page_url,
    tally,
    tracklist_site,
    urls,
)

LIVE = "https://www.1001tracklists.com/tracklist/9demo123/x.html"


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TracklistSite]:
    async with tracklist_site(hosts=3, slow_seconds=0.2) as running:
        monkeypatch.setenv("BATCHYARD_TRACKLISTS_ORIGINS", ", ".join(running.origins))
        monkeypatch.delenv("BATCHYARD_TRACKLISTS_LIVE", raising=False)
        yield running


@pytest.fixture
async def fetcher(site: TracklistSite) -> AsyncIterator[Fetcher]:
    async with open_fetcher() as opened:
        yield opened


async def run(item: TracklistItem, fetcher: Fetcher | None) -> TracklistResult:
    context = Context(batch_id=UUID(int=1), ordinal=0, round=1, attempt=1, partition="", resources=fetcher)
    result = await workload.run(item, context)
    assert isinstance(result, TracklistResult)
    return result


async def run_to_end(url: str, fetcher: Fetcher) -> TracklistResult | WorkloadError:
    """Run an item until it ends, as the manifest's retry rules say, without their pauses."""
    attempts = 0
    while True:
        try:
            return await run(TracklistItem(url=url), fetcher)
        except RateLimited:
            continue
        except Transient as error:
            attempts += 1
            if attempts >= workload.manifest.retry_rule(error.code).attempts:
                return error
        except Permanent as error:
            return error


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.name != "hang"], ids=lambda kind: kind.name)
async def test_every_kind_of_page_ends_as_the_sites_table_says(
    kind: Kind, site: TracklistSite, fetcher: Fetcher
) -> None:
    url = page_url(site.origins[1], kind.name, 7)

    end = await run_to_end(url, fetcher)

    identity = urlsplit(url).path.split("/")[2]
    assert site.stats()["ids"] == {identity: kind.fetches}
    assert list(site.stats()["hosts"]) == [urlsplit(url).netloc]
    if isinstance(end, WorkloadError):
        assert (end.code, end.scope) == (kind.code, kind.scope)
        return
    assert kind.code is None
    assert (end.id, end.track_count) == (identity, len(made_set(identity).rows))
    assert bool(end.cue) == kind.sheets
    assert (len(end.cue) > 1) == (kind.name == "long")
    assert any("do not grow" in warning for warning in end.cue_warnings) == (kind.name == "back")


async def test_a_whole_batch_over_several_hosts_ends_as_tallied(site: TracklistSite, fetcher: Fetcher) -> None:
    batch = urls(site.origins, 127, seed=3)
    unique = dict.fromkeys(batch)
    gate = asyncio.Semaphore(16)

    async def one(url: str) -> TracklistResult | WorkloadError:
        async with gate:
            return await run_to_end(url, fetcher)

    ends = dict(zip(unique, await asyncio.gather(*map(one, unique)), strict=True))

    statuses, codes = tally(batch)
    failures = [end for end in ends.values() if isinstance(end, WorkloadError)]
    assert statuses["succeeded"] == len(ends) - len(failures)
    assert statuses["failed"] == len(failures) == codes.total()
    assert {code: sum(end.code == code for end in failures) for code in codes} == codes
    assert site.stats()["total"] == sum(expected(url).fetches for url in unique)
    assert len({end.slug for end in ends.values() if isinstance(end, TracklistResult)}) == statuses["succeeded"]


def test_a_batch_is_the_same_each_time_and_mixes_kinds_hosts_and_duplicates() -> None:
    origins = [f"http://127.0.0.{n}:8801" for n in (1, 2, 3)]
    batch = urls(origins, 127, seed=1)

    assert batch == urls(origins, 127, seed=1)
    assert batch != urls(origins, 127, seed=2)
    assert len(batch) == 127
    assert len(batch) - len(set(batch)) >= 3
    assert {expected(url).name for url in batch} == {kind.name for kind in KINDS.values() if kind.shown}
    assert {f"http://{urlsplit(url).netloc}" for url in batch} == set(origins)
    assert sum(tally(batch)[0].values()) == 127


async def test_a_decoy_names_other_tracks_on_each_fetch(site: TracklistSite) -> None:
    url = page_url(site.origins[0], "decoy")
    async with aiohttp.ClientSession() as session:
        first, second = [await (await session.get(url)).text() for _ in range(2)]

    assert first != second


async def test_the_site_counts_requests_that_are_open_at_once(site: TracklistSite, fetcher: Fetcher) -> None:
    slow = [page_url(site.origins[0], "slow", n) for n in range(3)]

    await asyncio.gather(*(fetcher.fetch(url) for url in slow))

    async with aiohttp.ClientSession() as session:
        stats = await (await session.get(f"{site.origins[1]}/_stats")).json()
        host = stats["hosts"][urlsplit(slow[0]).netloc]
        assert (stats["total"], stats["open_max"], host["open_max"], host["requests"]) == (3, 3, 3, 3)
        assert 0 <= host["shortest_gap_s"] < 1
        await session.delete(f"{site.origins[1]}/_stats")
    assert site.stats()["total"] == 0


async def test_a_page_that_never_comes_is_a_timeout(site: TracklistSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHYARD_TRACKLISTS_TIMEOUT_S", "0.2")
    async with open_fetcher() as impatient:
        with pytest.raises(Transient, match="in time") as caught:
            await run(TracklistItem(url=page_url(site.origins[0], "hang")), impatient)

    assert caught.value.code == "timeout"


async def test_a_host_that_does_not_answer_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    async with tracklist_site() as gone:
        origin = gone.origins[0]
    monkeypatch.setenv("BATCHYARD_TRACKLISTS_ORIGINS", origin)
    async with open_fetcher() as fetcher:
        with pytest.raises(Transient) as caught:
            await run(TracklistItem(url=page_url(origin, "ok")), fetcher)

    assert caught.value.code == "unreachable"


async def test_an_address_that_no_client_can_read_is_refused(fetcher: Fetcher) -> None:
    with pytest.raises(Permanent) as caught:
        await run(TracklistItem(url="http://[/tracklist/a1/x.html"), fetcher)

    assert caught.value.code == "url_refused"


async def test_an_address_outside_the_allowed_is_never_asked(site: TracklistSite, fetcher: Fetcher) -> None:
    url = page_url(site.origins[0], "ok").replace("127.0.0.1", "localhost")

    with pytest.raises(Permanent) as caught:
        await run(TracklistItem(url=url), fetcher)

    assert caught.value.code == "host_refused"
    assert site.stats()["total"] == 0


async def test_the_site_learns_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHYARD_TRACKLISTS_CONTACT", "ops@example.org")
    async with open_fetcher() as fetcher:
        assert fetcher.session.headers["User-Agent"] == "Batchyard/0.1 (tracklists workload; ops@example.org)"


async def test_a_saved_page_is_read_without_fetching() -> None:
    html = good_page("ok000009", "https://www.1001tracklists.com")

    result = await run(TracklistItem(html=html), None)

    assert (result.id, result.url.split("/")[2]) == ("ok000009", "www.1001tracklists.com")


async def test_a_saved_gate_fails_its_own_item_alone() -> None:
    with pytest.raises(Permanent) as caught:
        await run(TracklistItem(html="<p>has been limited due to overuse</p>"), None)

    assert (caught.value.code, caught.value.scope) == ("ip_limited", "item")


ALLOWED = "http://127.0.0.1:8801"


@pytest.mark.parametrize(
    ("url", "live", "code"),
    [
        (f"{ALLOWED}/tracklist/a1/x.html", False, None),
        (f"{ALLOWED}/tracklist/a1", False, None),
        (LIVE, True, None),
        (LIVE, False, "live_fetch_off"),
        (LIVE.replace("https", "http"), True, "host_refused"),
        (LIVE.replace("www.", ""), True, "host_refused"),
        (LIVE.replace(".com/", ".com:444/"), True, "live_fetch_off"),
        (LIVE.replace(".com/", ".com.evil.example/"), True, "host_refused"),
        (LIVE.replace("www.", "evil-www."), True, "host_refused"),
        ("http://127.0.0.1:8802/tracklist/a1/x.html", True, "host_refused"),
        ("http://127.0.0.1/tracklist/a1/x.html", True, "host_refused"),
        ("http://127.1:8801/tracklist/a1/x.html", True, "host_refused"),
        ("https://127.0.0.1:8801/tracklist/a1/x.html", True, "host_refused"),
        ("http://169.254.169.254/tracklist/a1/x.html", True, "host_refused"),
        ("http://[::1]:8801/tracklist/a1/x.html", True, "host_refused"),
        ("http://user@127.0.0.1:8801/tracklist/a1/x.html", True, "host_refused"),
        (f"{ALLOWED}/tracklist/a1/..", False, "url_refused"),
        (f"{ALLOWED}/tracklist/a1/%2e%2e", False, "url_refused"),
        (f"{ALLOWED}/tracklist/../admin", False, "url_refused"),
        (f"{ALLOWED}/user/x", False, "url_refused"),
    ],
)
def test_only_exactly_named_origins_are_fetched_from(url: str, live: bool, code: str | None) -> None:
    policy = FetchPolicy.of(TracklistsSettings(live=live, origins=f"{ALLOWED}/"))

    refusal = policy.refuse(URL(url))

    assert (refusal.code if refusal else None) == code


def test_nothing_is_fetched_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVE", "ORIGINS"):
        monkeypatch.delenv(f"BATCHYARD_TRACKLISTS_{name}", raising=False)

    assert FetchPolicy.of(TracklistsSettings()).origins == frozenset()


@pytest.mark.parametrize("origins", ["127.0.0.1:8801", "ftp://a", "http://a/path", "http://u:p@a", "http://"])
def test_a_setting_that_is_no_origin_is_refused(origins: str) -> None:
    with pytest.raises(ValidationError):
        TracklistsSettings(origins=origins)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (f"{ALLOWED}/tracklist/a1/y.html", None),
        (f"{ALLOWED}/", "not_found"),
        (f"{ALLOWED}/tracklist/a1/../../admin", "not_found"),
        ("http://127.0.0.1:8802/tracklist/a1/y.html", "redirect_refused"),
        ("https://127.0.0.1:8801/tracklist/a1/y.html", "redirect_refused"),
        ("file:///etc/passwd", "redirect_refused"),
        ("http://user@127.0.0.1:8801/tracklist/a1/y.html", "host_refused"),
    ],
)
def test_a_redirect_stays_with_its_origin_and_its_kind_of_page(target: str, code: str | None) -> None:
    policy = FetchPolicy.of(TracklistsSettings(origins=f"{ALLOWED},http://127.0.0.1:8802"))

    refusal = policy.refuse_redirect(URL(f"{ALLOWED}/tracklist/a1/x.html"), URL(target))

    assert (refusal.code if refusal else None) == code


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"url": ""},
        {"html": ""},
        {"url": "ftp://www.1001tracklists.com/tracklist/a1/x.html"},
        {"url": "https://www.1001tracklists.com/track/a1/x.html"},
        {"url": "https://u@www.1001tracklists.com/tracklist/a1/x.html"},
        {"url": f"{LIVE}?q=1"},
        {"url": f"{LIVE}\n"},
        {"url": "https://www.1001tracklists.com/tracklist/a1/" + "x" * 2048},
        {"html": "x" * (MAX_HTML_CHARS + 1)},
        {"html": "x", "cue": True},
        {"html": 7},
    ],
)
def test_an_item_that_is_neither_an_address_nor_a_page_is_refused_by_model_and_schema(
    payload: dict[str, object],
) -> None:
    with pytest.raises(ValidationError):
        TracklistItem.model_validate(payload)
    assert not jsonschema_rs.validator_for(workload.manifest.item_schema).is_valid(payload)


@pytest.mark.parametrize("payload", [{"url": LIVE}, {"html": "<p>"}, {"html": "x" * MAX_HTML_CHARS, "url": LIVE}])
def test_an_item_that_is_right_is_taken_by_model_and_schema(payload: dict[str, object]) -> None:
    assert TracklistItem.model_validate(payload)
    assert jsonschema_rs.validator_for(workload.manifest.item_schema).is_valid(payload)


def test_the_manifest_keeps_the_sites_crawl_delay_and_exports_cue_sheets() -> None:
    manifest, limit = workload.manifest, workload.manifest.all_limits()[0]

    assert limit.rate_of("www.1001tracklists.com") == Rate(per_second=1 / 8, burst=1)
    assert limit.rate_of("127.0.0.1") is None
    assert has_circuit(manifest, "www.1001tracklists.com"), "a gate stops it for all items"
    assert not has_circuit(manifest, "127.0.0.1")
    assert TracklistItem.model_validate(manifest.example)
    fields = TracklistResult.model_fields
    assert {manifest.exports["cue"].content, manifest.exports["cue"].filename} <= {f"/{name}" for name in fields}


NOW = datetime(2026, 5, 16, 12, 0, tzinfo=UTC)


async def test_the_site_runs_from_the_command_line_and_stops_on_sigterm() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.tracklist_site", "--host", "127.0.0.1", "--host", "127.0.0.2",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert process.stdout is not None
            origins = json.loads(await process.stdout.readline())["origins"]
            async with aiohttp.ClientSession() as session, session.get(page_url(origins[1], "ok")) as answer:
                assert answer.status == 200
            process.terminate()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert [urlsplit(origin).hostname for origin in origins] == ["127.0.0.1", "127.0.0.2"]
