"""The whole dashboard can be reached by the keyboard alone."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.support.dashboard_visit import Visit
from tests.support.keyed_cluster import KeyedCluster
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _press(page: Page, *keys: str) -> None:
    for key in keys:
        await page.keyboard.press(key)


async def test_pages_rows_and_parts_are_reached_without_a_pointer(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    await keyed.submit_and_wait([{"n": 1}, {"n": 2, "fail": "captcha"}], name="By keys")
    await visit.go("/")
    await _press(page, "g", "b")
    await expect(page.get_by_role("heading", name="Batches", level=1)).to_be_visible()
    await _press(page, "/")
    await page.keyboard.type("By keys")
    await expect(page.get_by_role("table", name="Batches").get_by_role("row")).to_have_count(2)
    await _press(page, "Escape", "j", "Enter")
    await expect(page.get_by_role("heading", name="By keys")).to_be_visible()
    await _press(page, "]")
    await expect(page).to_have_url(re.compile("/failures$"))
    await _press(page, "r")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await _press(page, "Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_the_command_box_finds_pages_and_batches(visit: Visit, keyed: KeyedCluster) -> None:
    page = visit.page
    await keyed.submit_and_wait([{"n": 1}], name="Found by its name")
    await visit.go("/")
    await _press(page, "Control+k")
    await page.keyboard.type("dead")
    await _press(page, "Enter")
    await expect(page.get_by_role("heading", name="Dead letters", level=1)).to_be_visible()
    await _press(page, "Control+k")
    await page.keyboard.type("found by")
    await expect(page.get_by_role("option", name="Found by its name")).to_be_visible(timeout=PATIENCE_S * 1000)
    await _press(page, "Enter")
    await expect(page.get_by_role("heading", name="Found by its name")).to_be_visible()


async def test_the_list_of_keys_opens_and_single_letters_can_be_turned_off(visit: Visit) -> None:
    page = visit.page
    await visit.go("/batches")
    await _press(page, "?")
    dialog = page.get_by_role("dialog", name="Keys")
    await dialog.get_by_label("Single letters act.").uncheck()
    await _press(page, "Escape", "g", "w")
    await expect(page.get_by_role("heading", name="Batches", level=1)).to_be_visible()
    await expect(dialog).to_be_hidden()


async def test_the_first_tab_skips_to_the_page(visit: Visit) -> None:
    await visit.go("/workloads")
    await visit.page.evaluate("document.activeElement.blur()")
    await _press(visit.page, "Tab")
    await expect(visit.page.get_by_role("link", name="Skip to the page")).to_be_focused()
