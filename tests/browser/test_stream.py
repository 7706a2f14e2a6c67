"""The page follows everything by one socket, and goes on by itself when it breaks."""

import re

import pytest
from playwright.async_api import WebSocket, WebSocketRoute, expect

from tests.support.dashboard_visit import Visit, sign_in
from tests.support.keyed_cluster import KeyedCluster
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATIENCE_MS = PATIENCE_S * 1000


async def test_one_socket_carries_all_pages(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    opened: list[WebSocket] = []

    def note(socket: WebSocket) -> None:
        opened.append(socket)

    page.on("websocket", note)
    batch_id = await keyed.submit(
        [{"n": n, "sleep_s": 0.1} for n in range(600)], name="Followed", rate={"per_second": 30}
    )
    await visit.go("/")
    await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    await page.get_by_role("link", name="Followed").first.click()
    await expect(page.get_by_text(re.compile(r"^[1-9]\d* succeeded"))).to_be_visible(timeout=PATIENCE_MS)
    await page.get_by_role("link", name="Batches").first.click()
    await expect(page.get_by_role("row", name=re.compile("Followed"))).to_be_visible()
    await expect(page.get_by_text("live", exact=True)).to_be_visible()
    assert [re.sub(r".*/api", "/api", socket.url) for socket in opened] == ["/api/v1/stream"]
    async with keyed.cluster.http.post(
        f"batches/{batch_id}/cancel", headers={"Authorization": f"Bearer {keyed.owner_key}"}
    ) as answer:
        assert answer.status == 202
    await expect(page.get_by_role("row", name=re.compile("Followed"))).to_contain_text("cancelled", timeout=PATIENCE_MS)


async def test_a_broken_stream_is_shown_and_begun_again(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    breaks = True

    async def pass_on(socket: WebSocketRoute) -> None:
        if breaks:
            await socket.close()
        else:
            socket.connect_to_server()

    await page.route_web_socket("**/stream*", pass_on)
    batch_id = await keyed.submit(
        [{"n": n, "sleep_s": 0.3} for n in range(100)], name="Interrupted", rate={"per_second": 20}
    )
    await visit.go(f"/batches/{batch_id}")
    await expect(page.get_by_text("reconnecting", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_text(re.compile(r"^[1-9]\d* succeeded"))).to_be_visible(timeout=PATIENCE_MS)
    breaks = False
    await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    await expect(visit.state("completed")).to_be_visible(timeout=PATIENCE_MS)


async def test_a_revoked_key_ends_the_session_of_a_page_that_listens(stranger: Visit, keyed: KeyedCluster) -> None:
    stranger.expected_statuses = {401}
    page = stranger.page
    key = await keyed.create_key("ann", "To be revoked")
    batch_id = await keyed.submit(
        [{"n": n, "sleep_s": 0.2} for n in range(300)], name="Left alone", rate={"per_second": 5}
    )
    await sign_in(stranger, key)
    await stranger.go(f"/batches/{batch_id}")
    await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    async with keyed.cluster.http.get("keys", params={"owner": "ann"}) as answer:
        found = [each["id"] for each in (await answer.json())["keys"] if each["name"] == "To be revoked"]
    async with keyed.cluster.http.delete(f"keys/{found[0]}") as answer:
        assert answer.status == 200
    await expect(page.get_by_role("dialog", name="Your session has ended")).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_role("heading", name="Left alone")).to_be_visible()


async def test_charts_show_what_ended_also_as_a_table(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    items = [{"n": n, "sleep_s": 0.05, **({"fail": "captcha"} if n % 10 == 9 else {})} for n in range(120)]
    batch_id = await keyed.submit(items, name="Charted", rate={"per_second": 25, "burst": 1})
    await visit.go(f"/batches/{batch_id}")
    panel = page.get_by_role("region", name="Throughput")
    await expect(panel.get_by_role("figure")).to_be_visible(timeout=PATIENCE_MS)
    await panel.get_by_role("slider").focus()
    headers = {"Authorization": f"Bearer {keyed.owner_key}"}
    for action in ("pause", "resume"):
        async with keyed.cluster.http.post(f"batches/{batch_id}/{action}", headers=headers) as answer:
            assert answer.status == 202
    await page.keyboard.press("Home")
    await expect(panel.get_by_role("slider")).to_have_attribute(
        "aria-valuetext", re.compile(r"succeeded \S+/s, failed")
    )
    await panel.get_by_role("button", name="As table").click()
    await expect(panel.get_by_role("table", name="Items that ended")).to_contain_text("/s")
    await expect(panel.get_by_role("table", name="Items that ended")).to_contain_text("paused", timeout=PATIENCE_MS)
    await expect(visit.state("partial")).to_be_visible(timeout=PATIENCE_MS)
    times = page.get_by_role("region", name="Time of an item")
    await expect(times.get_by_role("figure")).to_contain_text("95 % within")


async def test_the_stream_tells_when_to_read_parts_of_a_batch_again(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    headers = {"Authorization": f"Bearer {keyed.owner_key}"}
    batch_id = await keyed.submit([{"n": n} for n in range(300)], name="Quiet", rate={"per_second": 50, "burst": 1})
    async with keyed.cluster.http.post(f"batches/{batch_id}/pause", headers=headers) as answer:
        assert answer.status == 202
    await page.clock.install()
    await visit.go(f"/batches/{batch_id}/items")
    await expect(visit.state("paused")).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    await page.wait_for_load_state("networkidle")
    await page.clock.run_for(5_000)  # what was told of the pause
    await page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("/api/v1")[2]))
    await page.clock.run_for(14_000)
    await page.wait_for_load_state("networkidle")
    assert [path for path in asked if "/items" in path or "/failures" in path] == [], "nothing has changed"
    async with keyed.cluster.http.post(f"batches/{batch_id}/resume", headers=headers) as answer:
        assert answer.status == 202
    async with page.expect_request(re.compile("/items"), timeout=PATIENCE_MS):
        await expect(page.get_by_text(re.compile(r"^[1-9]\d* succeeded"))).to_be_visible(timeout=PATIENCE_MS)
        await page.clock.run_for(4_000)
    await expect(visit.state("completed")).to_be_visible(timeout=PATIENCE_MS)


async def test_times_at_one_destination_are_chosen(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    points = [
        {"at": f"2026-11-30T06:00:{second}0Z", "succeeded": 2.0, "failed": 0.0, "other": 0.0, "p50_ms": 5, "p95_ms": 9}
        for second in range(2)
    ]
    destinations = [
        {"partition": "a.example", "p50_ms": [100, None], "p95_ms": [200, None]},
        {"partition": "b.example", "p50_ms": [5000, None], "p95_ms": [6000, None]},
    ]
    series = {"step_s": 10.0, "points": points, "destinations": destinations}
    await page.route(re.compile(r"/api/v1/batches/[^/]+/series"), lambda route: route.fulfill(json=series))
    await visit.go(f"/batches/{await keyed.submit_and_wait([{'n': 1}], name='Two destinations')}")
    panel = page.get_by_role("region", name="Time of an item")
    await panel.get_by_role("button", name="As table").click()
    await expect(panel.get_by_role("table")).to_contain_text("9 ms")
    await panel.get_by_label("Destination").select_option("b.example")
    await expect(panel.get_by_role("table")).to_contain_text("6 s")
    assert await visit.barriers() == []
