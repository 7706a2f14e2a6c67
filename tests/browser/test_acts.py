"""Journeys that change several things: all batches that match, templates, limits; and the check of a submission."""

import re

import pytest
from playwright.async_api import expect

from tests.support.dashboard_visit import Visit
from tests.support.keyed_cluster import KeyedCluster
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATIENCE_MS = PATIENCE_S * 1000


async def test_all_batches_that_match_are_cancelled_after_a_look(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    slow = [{"n": n, "sleep_s": 1} for n in range(500)]
    rate = {"per_second": 5, "burst": 1}
    for number in range(3):
        await keyed.submit(slow, name=f"Bulk {number}", rate=rate)
    other = await keyed.submit(slow, name="Not meant", rate=rate)
    await visit.go("/batches")
    await expect(page.get_by_role("button", name="Act on all…")).to_have_attribute("aria-disabled", "true")
    await visit.go("/batches?q=Bulk")
    await page.get_by_role("button", name="Act on all…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Action").select_option("cancel")
    await expect(dialog.get_by_text("It would be for 3 batches. Nothing is changed yet.")).to_be_visible()
    assert await visit.barriers() == []
    await dialog.get_by_role("button", name="Cancel 3 batches").click()
    await expect(dialog.get_by_text("Ended: 3 took it.")).to_be_visible(timeout=PATIENCE_MS)
    await dialog.get_by_role("button", name="Done").click()
    table = page.get_by_role("table", name="Batches")
    await expect(table.locator(".state").filter(has_text="cancelled")).to_have_count(3, timeout=PATIENCE_MS)
    await visit.go(f"/batches/{other}")
    await expect(page.get_by_role("button", name="Cancel…")).to_be_visible()
    await page.get_by_role("button", name="Cancel…").click()
    await page.get_by_role("button", name=re.compile("^Cancel .* items$")).click()


async def test_a_template_is_made_and_edited(visit: Visit) -> None:
    page = visit.page
    await visit.go("/templates")
    await page.get_by_role("button", name="New template").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name", exact=True).fill("by-hand")
    await dialog.get_by_label("Batch", exact=True).fill('{"workload": "noop", "items": [{"payload": {"n": 1}}]')
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_text("This is no JSON:")).to_be_visible()
    await dialog.get_by_label("Batch", exact=True).fill('{"workload": "noop", "items": [{"payload": {"n": 1}}]}')
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="by-hand", level=1)).to_be_visible()
    await page.get_by_role("button", name="Edit…").click()
    await dialog.get_by_label("Description").fill("Changed in the page")
    assert await visit.barriers() == []
    await dialog.get_by_role("button", name="Save as a new version").click()
    await expect(page.get_by_text("version 2", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Submit", exact=True).click()
    await expect(visit.state("completed")).to_be_visible(timeout=PATIENCE_MS)


async def test_the_parameters_of_a_template_are_a_form(visit: Visit) -> None:
    await visit.go("/templates/weekly-portfolio")
    await expect(visit.page.get_by_role("heading", name="weekly-portfolio", level=1)).to_be_visible()
    await expect(visit.page.get_by_label("Portfolio", exact=True)).to_be_visible()
    await visit.page.get_by_role("button", name="Submit", exact=True).click()
    await expect(visit.page.get_by_text("This field is required.")).to_be_visible()


async def test_an_operator_sets_a_limit_and_takes_it_back(operator: Visit) -> None:
    page = operator.page
    await operator.go("/limits")
    await page.get_by_role("button", name="Set limits…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Owner").fill("limited")
    await page.keyboard.press("Enter")
    await dialog.get_by_label("Uploads at a time").fill("7")
    assert await operator.barriers() == []
    await dialog.get_by_role("button", name="Set", exact=True).click()
    row = page.get_by_role("row", name=re.compile("limited"))
    await expect(row).to_contain_text("uploads 7", timeout=PATIENCE_MS)
    await row.get_by_role("button", name="Change the limits of limited").click()
    await dialog.get_by_label("Uploads at a time").fill("")
    await dialog.get_by_role("button", name="Set", exact=True).click()
    await expect(row).to_be_hidden(timeout=PATIENCE_MS)


async def test_a_submission_is_checked_and_nothing_is_submitted(visit: Visit) -> None:
    page = visit.page
    await visit.go("/submit?workload=noop")
    await page.get_by_role("button", name="File or text").click()
    await page.get_by_label("Or paste items").fill('{"n": 1}\n{"n": "two"}\n')
    await page.get_by_role("button", name="Check", exact=True).click()
    await expect(page.get_by_text("It would be refused.")).to_be_visible()
    await expect(page.get_by_text("line 2:")).to_be_visible()
    assert await visit.barriers() == []
    await page.get_by_label("Or paste items").fill('{"n": 1}\n{"n": 2}\n')
    await page.get_by_role("button", name="Check", exact=True).click()
    await expect(page.get_by_text("It would be accepted.")).to_be_visible()
    assert "/submit" in page.url


async def test_words_between_backticks_are_code(visit: Visit) -> None:
    await visit.go("/workloads")
    cards = visit.page.locator(".cards-grid")
    await expect(cards).to_be_visible()
    assert "`" not in await cards.inner_text()
