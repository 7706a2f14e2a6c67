"""Each page shows hostile texts as they are, fits every screen, and has no barrier in either theme."""

from typing import Literal
from uuid import UUID

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.support.dashboard_visit import Visit, sign_in, visiting
from tests.support.keyed_cluster import KeyedCluster

pytestmark = pytest.mark.asyncio(loop_scope="session")
PAGES = (
    "/",
    "/batches",
    "/submit?workload=noop",
    "/submit?workload=tracklists",
    "/schedules",
    "/templates",
    "/workloads",
    "/workloads/tracklists",
    "/destinations",
    "/workers",
    "/dead-letters",
    "/keys",
    "/limits",
    "/audit",
    "/settings",
    "/no-such-page",
)
PARTS = ("", "/failures", "/items", "/results", "/settings")
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "\u202ereversed\u2066 and hidden\u200b",
    "'; DROP TABLE batches; --",
    "${alert(1)}",
    "x" * 180,
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hostile_batch(keyed: KeyedCluster) -> UUID:
    """A batch whose name, labels, ids and payloads try to be executed."""
    items = [{"n": n, "note": text} for n, text in enumerate(HOSTILE)]
    items.append({"n": 99, "fail": "captcha", "note": HOSTILE[0]})
    for number, text in enumerate(HOSTILE):
        await keyed.submit([{"n": 1}], name=text, labels={"note": text[:60]}, idempotency_key=f"hostile-{number}")
    return await keyed.submit_and_wait(items, name=HOSTILE[1], labels={"a": HOSTILE[2]})


async def test_hostile_texts_are_shown_and_not_executed(operator: Visit, visit: Visit, hostile_batch: UUID) -> None:
    for path in PAGES[:-1]:
        await operator.go(path)
        await visit.go(path)
    for part in PARTS:
        await visit.go(f"/batches/{hostile_batch}{part}")
        await expect(visit.page.get_by_role("heading", level=1)).to_have_text(HOSTILE[1])
    await visit.go(f"/batches/{hostile_batch}/results")
    await visit.page.get_by_role("button", name="Item 0").click()
    await expect(visit.page.get_by_role("region", name="outcome")).to_be_visible()
    await visit.go("/batches")
    await expect(visit.page.get_by_role("link", name=HOSTILE[0])).to_be_visible()
    await expect(visit.page.get_by_role("link", name="\\u202ereversed\\u2066 and hidden\\u200b")).to_be_visible()


@pytest.mark.parametrize("width", [320, 768, 1920])
async def test_every_page_fits_the_screen(
    browser: Browser, keyed: KeyedCluster, hostile_batch: UUID, width: int
) -> None:
    async with visiting(browser, keyed.url, width=width) as visit:
        await sign_in(visit, keyed.owner_key)
        widths = {}
        for path in (*PAGES, *(f"/batches/{hostile_batch}{part}" for part in PARTS)):
            await visit.go(path)
            await visit.page.wait_for_load_state("networkidle")
            widths[path] = await visit.width_of_page()
        assert {path: found for path, found in widths.items() if found > width} == {}
        assert visit.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_has_a_barrier(
    browser: Browser, keyed: KeyedCluster, hostile_batch: UUID, scheme: Literal["light", "dark"]
) -> None:
    async with visiting(browser, keyed.url, scheme=scheme) as visit:
        await sign_in(visit, keyed.operator_key)
        barriers = {}
        for path in PAGES:
            await visit.go(path)
            await visit.page.wait_for_load_state("networkidle")
            barriers[path] = await visit.barriers()
        await visit.context.clear_cookies()
        await sign_in(visit, keyed.owner_key)
        for part in PARTS:
            await visit.go(f"/batches/{hostile_batch}{part}")
            await visit.page.wait_for_load_state("networkidle")
            barriers[part or "batch"] = await visit.barriers()
        await visit.page.keyboard.press("r")
        await visit.page.get_by_role("dialog").wait_for()
        barriers["dialog"] = await visit.barriers()
        assert {path: found for path, found in barriers.items() if found} == {}
        assert visit.faults == []


async def test_the_page_of_sign_in_has_no_barrier(stranger: Visit) -> None:
    stranger.expected_statuses = {401}
    await stranger.go("/")
    assert await stranger.barriers() == []


async def test_the_first_load_is_small(browser: Browser, keyed: KeyedCluster) -> None:
    async with visiting(browser, keyed.url) as visit:
        sizes: list[int] = []
        await visit.page.route("**/*", lambda route: route.continue_())
        client = await visit.context.new_cdp_session(visit.page)
        await client.send("Network.enable")
        client.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
        visit.expected_statuses = {401}
        await visit.go("/")
        await visit.page.wait_for_load_state("networkidle")
        assert 50_000 < sum(sizes) <= 130_000
