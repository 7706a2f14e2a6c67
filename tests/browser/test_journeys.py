"""Journeys of readers through the dashboard: sign in, submit, watch, mend, and keys."""

import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.support.dashboard_visit import Visit, sign_in
from tests.support.keyed_cluster import OWNER, KeyedCluster
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATIENCE_MS = PATIENCE_S * 1000


async def test_a_key_signs_in_and_signing_out_ends_the_session(stranger: Visit, keyed: KeyedCluster) -> None:
    stranger.expected_statuses = {401}
    page = stranger.page
    await stranger.go("/batches")
    await page.get_by_label("API key").fill(keyed.owner_key)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Batches", level=1)).to_be_visible()
    assert keyed.owner_key not in str(
        await page.evaluate("[JSON.stringify(localStorage), document.cookie, location.href]")
    )

    await page.get_by_label("Account").click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("API key")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("API key")).to_be_visible()


async def test_a_wrong_key_is_refused_with_the_reason(stranger: Visit) -> None:
    stranger.expected_statuses = {401}
    await stranger.go("/")
    await stranger.page.get_by_label("API key").fill("by_test_nothing")
    await stranger.page.get_by_role("button", name="Sign in").click()
    await expect(stranger.page.get_by_role("alert")).to_contain_text("unauthorized")


async def test_a_link_signs_in_once(stranger: Visit, keyed: KeyedCluster) -> None:
    stranger.expected_statuses = {401}
    headers = {"Authorization": f"Bearer {keyed.owner_key}"}
    async with keyed.cluster.http.post("session/links", headers=headers) as answer:
        path = (await answer.json())["path"]
    await stranger.page.goto(f"{keyed.url}{path}")
    await expect(stranger.page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    assert "sign-in" not in stranger.page.url

    await stranger.context.clear_cookies()
    await stranger.page.goto("about:blank")
    await stranger.page.goto(f"{keyed.url}{path}")
    await expect(stranger.page.get_by_label("API key")).to_be_visible()
    await expect(stranger.page.get_by_text("This link was used before")).to_be_visible()


async def test_a_link_signs_in_a_page_that_is_open(stranger: Visit, keyed: KeyedCluster) -> None:
    stranger.expected_statuses = {401}
    await stranger.go("/")
    await expect(stranger.page.get_by_label("API key")).to_be_visible()
    await sign_in(stranger, keyed.owner_key)
    await expect(stranger.page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    assert "sign-in" not in stranger.page.url


async def test_after_the_session_has_ended_the_page_stays_and_asks_for_the_key(
    visit: Visit, keyed: KeyedCluster
) -> None:
    visit.expected_statuses = {401}
    await visit.go("/batches")
    await visit.context.clear_cookies()
    await visit.page.get_by_role("navigation", name="Pages").get_by_role("link", name="Workloads").click()
    dialog = visit.page.get_by_role("dialog", name="Your session has ended")
    await expect(dialog).to_be_visible(timeout=PATIENCE_MS)
    await dialog.get_by_label("API key").fill(keyed.owner_key)
    await dialog.get_by_role("button", name="Sign in again").click()
    await expect(dialog).to_be_hidden()
    await expect(visit.page.get_by_role("heading", name="Workloads", level=1)).to_be_visible()


async def test_a_link_in_a_new_tab_shows_the_batches_of_the_same_owner(operator: Visit, keyed: KeyedCluster) -> None:
    page = operator.page
    batch_id = await keyed.submit_and_wait([{"n": 1}], name="Of somebody else")
    await operator.go("/batches")
    await page.get_by_label("Account").click()
    await page.get_by_label("Look at the batches of").fill(OWNER)
    await page.keyboard.press("Enter")
    link = page.get_by_role("link", name="Of somebody else")
    await expect(link).to_have_attribute("href", f"/batches/{batch_id}?owner={OWNER}")
    async with operator.context.expect_page() as opened:
        await link.click(modifiers=["ControlOrMeta"])
    tab = await opened.value
    await expect(tab.get_by_role("heading", name="Of somebody else")).to_be_visible()
    await expect(tab.get_by_role("button", name=f"batches of {OWNER}")).to_be_visible()
    assert "owner" not in tab.url
    await link.click()
    await expect(page.get_by_role("heading", name="Of somebody else")).to_be_visible()
    assert "owner" not in page.url


async def test_a_batch_is_submitted_by_the_form_and_watched_to_its_end(visit: Visit) -> None:
    page = visit.page
    await visit.go("/submit?workload=noop")
    await page.get_by_role("button", name="Submit", exact=True).click()
    await expect(page.get_by_text("This field is required.")).to_be_visible()
    await page.get_by_label("N *").fill("7")
    await page.get_by_label("Sleep s").fill("0.5")
    await page.get_by_text("Options").click()
    await page.get_by_label("Name", exact=True).fill("By the form")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("heading", name="By the form")).to_be_visible()
    await expect(visit.state("completed")).to_be_visible(timeout=PATIENCE_MS)
    await page.get_by_role("navigation", name="Parts of the batch").get_by_role("link", name="Results").click()
    await page.get_by_role("button", name="Item 0").click()
    await expect(page.get_by_role("region", name="outcome")).to_contain_text('"n": 49')


async def test_pasted_items_are_counted_and_submitted(visit: Visit) -> None:
    page = visit.page
    await visit.go("/submit?workload=noop")
    await page.get_by_role("button", name="File or text").click()
    await page.get_by_label("Or paste items").fill('{"n": 1}\n{"n": 2}\n{"n": 3}\n')
    await expect(page.get_by_text("3 items found.")).to_be_visible()
    await page.get_by_role("button", name="Submit", exact=True).click()
    await expect(page.get_by_text("3 of 3 items")).to_be_visible(timeout=PATIENCE_MS)


async def test_a_file_with_a_wrong_line_is_refused_with_the_line(visit: Visit) -> None:
    visit.expected_statuses = {422}
    page = visit.page
    await visit.go("/submit?workload=noop")
    await page.get_by_role("button", name="File or text").click()
    content = b'{"n": 1}\n{"n": "two"}\n'
    await page.locator("input[type=file]").set_input_files(
        {"name": "items.ndjson", "mimeType": "application/x-ndjson", "buffer": content}
    )
    await page.get_by_role("button", name="Submit", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text(re.compile("line 2", re.IGNORECASE))


async def test_a_running_batch_is_paused_changed_resumed_and_cancelled(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    batch_id = await keyed.submit([{"n": n, "sleep_s": 0.5} for n in range(2000)], name="Long one")
    await visit.go(f"/batches/{batch_id}")
    await expect(page.get_by_text("live", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("button", name="Resume")).to_be_visible(timeout=PATIENCE_MS)
    await page.get_by_role("button", name="Change…").click()
    await page.get_by_label("Items a second, at most").fill("5")
    await page.get_by_role("button", name="Change", exact=True).click()
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("button", name="Pause")).to_be_visible(timeout=PATIENCE_MS)
    await page.get_by_role("navigation", name="Parts of the batch").get_by_role("link", name="Settings").click()
    await expect(page.get_by_text("5/s, 1 at once")).to_be_visible(timeout=PATIENCE_MS)
    await page.get_by_role("button", name="Cancel…").click()
    await page.get_by_role("button", name=re.compile("^Cancel .* items$")).click()
    await expect(visit.state("cancelled")).to_be_visible(timeout=PATIENCE_MS)


async def test_failed_items_run_again_with_another_payload(visit: Visit, keyed: KeyedCluster) -> None:
    items: list[dict[str, Any]] = [
        {"n": 1},
        {"n": 2, "fail": "captcha"},
        {"n": 3, "fail": "captcha"},
        {"n": 4, "fail": "parse_error"},
    ]
    batch_id = await keyed.submit_and_wait(items, name="To be mended")
    page = visit.page
    await visit.go(f"/batches/{batch_id}/failures")
    row = page.get_by_role("row", name=re.compile("captcha"))
    await row.get_by_role("button", name="Retry…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("2 items would run again.")).to_be_visible()
    await dialog.get_by_role("button", name="Add a change").click()
    await dialog.get_by_label("Operation").select_option("remove")
    await dialog.get_by_label("Path").fill("/fail")
    await expect(dialog.get_by_text("after", exact=True).first).to_be_visible()
    await dialog.get_by_role("button", name="Run 2 items again").click()
    await expect(page.get_by_text("round 2", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_text("3 succeeded")).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_text("1 failed")).to_be_visible()


async def test_a_batch_of_another_owner_is_not_found(visit: Visit, keyed: KeyedCluster) -> None:
    visit.expected_statuses = {404}
    foreign = await keyed.submit([{"n": 1}], key=await keyed.create_key("bob"))
    await visit.go(f"/batches/{foreign}")
    await expect(visit.page.get_by_role("heading", name="There is no such batch")).to_be_visible()
    await visit.go("/batches/not-an-id")
    await expect(visit.page.get_by_role("heading", name="There is no such batch")).to_be_visible()


async def test_batches_are_filtered_by_the_address(visit: Visit, keyed: KeyedCluster) -> None:
    await keyed.submit([{"n": 1}], name="Needle", labels={"team": "hay"})
    await visit.go("/batches?label=team%3Dhay")
    await expect(visit.page.get_by_role("link", name="Needle")).to_be_visible(timeout=PATIENCE_MS)
    await visit.go("/batches?label=team%3Dhay&label=a%3Db")
    await visit.page.get_by_label("Label").focus()
    await visit.page.get_by_label("Search", exact=True).focus()
    assert "label=a%3Db" in visit.page.url
    await visit.go("/batches?label=team%3Dhay")
    await visit.page.get_by_label("Search", exact=True).fill("nothing of that name")
    await expect(visit.page.get_by_text("Nothing matches")).to_be_visible()
    assert "q=nothing" in visit.page.url
    await visit.page.get_by_role("button", name="Clear the filters").click()
    await expect(visit.page.get_by_role("link", name="Needle")).to_be_visible()


async def test_a_key_is_made_used_and_revoked(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    await visit.go("/keys")
    await page.get_by_role("button", name="Create a key").click()
    await page.get_by_label("What it is for").fill("Nightly import")
    await page.get_by_role("button", name="Create", exact=True).click()
    key = await page.locator("[data-secret]").inner_text()
    async with keyed.cluster.http.get("session", headers={"Authorization": f"Bearer {key}"}) as answer:
        assert (await answer.json())["owner"] == "ann"
    await page.get_by_label("I have saved it").check()
    await page.get_by_role("button", name="Done").click()
    row = page.get_by_role("row", name=re.compile("Nightly import"))
    await row.get_by_role("button", name="Revoke…").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
    await expect(row.get_by_text("revoked")).to_be_visible()
    async with keyed.cluster.http.get("session", headers={"Authorization": f"Bearer {key}"}) as answer:
        assert answer.status == 401


async def test_a_missing_scope_is_explained(visit: Visit) -> None:
    await visit.go("/dead-letters")
    await expect(visit.page.get_by_text("Your key lacks the scope operate.").first).to_be_visible()


async def test_an_operator_sees_workers_dead_letters_and_the_audit(operator: Visit) -> None:
    for path, heading in (("/workers", "Live workers"), ("/dead-letters", "Queues"), ("/audit", "Entries")):
        await operator.go(path)
        await expect(operator.page.get_by_role("heading", name=heading)).to_be_visible()
    await expect(operator.page.get_by_role("table", name="Audit")).to_contain_text("session.start")


async def test_an_operator_looks_at_the_batches_of_another_owner(operator: Visit, keyed: KeyedCluster) -> None:
    page = operator.page
    await keyed.submit_and_wait([{"n": 1}], name="Ann's own")
    await operator.go("/batches")
    await page.get_by_label("Account").click()
    await page.get_by_label("Look at the batches of").fill("ann")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Ann's own").click()
    await expect(page.get_by_role("heading", name="Ann's own")).to_be_visible()
    await page.get_by_role("navigation", name="Parts of the batch").get_by_role("link", name="Settings").click()
    await expect(page.get_by_text("A client submitted it alone.")).to_be_visible()
    operator.expected_statuses = {404}
    await page.get_by_role("button", name="batches of ann").click()
    await expect(page.get_by_role("heading", name="There is no such batch")).to_be_visible()


async def test_the_overview_leads_an_operator_to_the_batch_of_another_owner(
    operator: Visit, keyed: KeyedCluster
) -> None:
    page = operator.page
    batch = await keyed.submit_and_wait([{"n": 1, "fail": "captcha"}], name="Ann's failure")
    await operator.go("/")
    await page.locator(f'a[href="/batches/{batch}?owner={OWNER}"]').click()
    await expect(page.get_by_role("heading", name="Ann's failure")).to_be_visible()
    await expect(page.get_by_role("button", name="batches of ann")).to_be_visible()


async def test_nothing_of_an_operator_stays_for_the_next_client(operator: Visit, keyed: KeyedCluster) -> None:
    page = operator.page
    await operator.go("/batches")
    await page.get_by_label("Account").click()
    await page.get_by_label("Look at the batches of").fill("ann")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="batches of ann")).to_be_visible()
    await page.get_by_label("Account").click()
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_label("API key").fill(await keyed.create_key("bob"))
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Batches", level=1)).to_be_visible()
    await page.wait_for_load_state("networkidle")
    await expect(page.get_by_role("button", name="batches of ann")).to_be_hidden()


async def test_failures_appear_at_the_end_of_a_batch_that_is_polled(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    await page.route_web_socket("**/stream*", lambda socket: socket.close())
    batch_id = await keyed.submit([{"n": 1, "sleep_s": 1.5, "fail": "captcha"}], name="Polled")
    await visit.go(f"/batches/{batch_id}")
    await expect(page.get_by_text("No item has failed so far")).to_be_visible()
    await expect(visit.state("failed")).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_role("table", name="Failures by cause")).to_contain_text("captcha")


async def test_a_defect_of_one_panel_leaves_the_others(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    batch_id = await keyed.submit_and_wait([{"n": 1}], name="Half shown")
    await page.route("**/timeline*", lambda route: route.fulfill(json={"entries": None}))
    await visit.go(f"/batches/{batch_id}")
    await expect(page.get_by_role("region", name="Timeline").get_by_role("alert")).to_contain_text("has a defect")
    await expect(page.get_by_role("region", name="First results")).to_contain_text("#0")
    visit.faults = [fault for fault in visit.faults if "reading 'length'" not in fault]


async def test_a_file_that_is_no_json_is_refused_with_the_reason(visit: Visit) -> None:
    page = visit.page
    await visit.go("/submit?workload=noop")
    await page.get_by_role("button", name="File or text").click()
    await page.locator("input[type=file]").set_input_files(
        {"name": "items.json", "mimeType": "application/json", "buffer": b"[{"}
    )
    await page.get_by_role("button", name="Submit", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("This is no JSON")
    await expect(page.get_by_role("alert")).to_contain_text("That did not work")


async def test_an_item_is_shown_with_its_payload_and_error(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    batch_id = await keyed.submit_and_wait([{"n": 1}, {"n": 2, "fail": "captcha"}], name="Two items")
    await visit.go(f"/batches/{batch_id}/failures")
    await page.get_by_role("link", name="Items that failed by captcha").click()
    await expect(page.get_by_role("table", name="Items").get_by_role("row")).to_have_count(2)
    await page.get_by_role("button", name="Item 1").click()
    await expect(page.get_by_role("region", name="payload")).to_contain_text("captcha")
    await page.keyboard.press("Escape")
    await visit.go(f"/batches/{batch_id}")
    await expect(page.get_by_role("region", name="Timeline")).to_contain_text("accepted")


async def test_the_overview_leads_to_what_needs_somebody(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    await keyed.submit_and_wait([{"n": n, "fail": "captcha"} for n in range(3)], name="All of it failed")
    await visit.go("/")
    matter = page.get_by_role("region", name="Needs you").get_by_role("listitem").filter(has_text="All of it failed")
    await matter.get_by_role("link").click()
    await expect(page.get_by_role("heading", name="All of it failed")).to_be_visible()
    await visit.go("/")
    await expect(page.get_by_role("region", name="System")).to_contain_text("RabbitMQ")
