"""The whole dashboard can be reached by the keyboard alone."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.support.dashboard_visit import Visit
from tests.support.keyed_cluster import KeyedCluster
from tests.support.patience import PATIENCE_S, until

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


async def test_arrows_scroll_a_page_whose_rows_have_no_focus(visit: Visit) -> None:
    page = visit.page
    await page.set_viewport_size({"width": 1280, "height": 300})
    await visit.go("/settings")
    await _press(page, "ArrowDown")
    await until(lambda: page.evaluate("scrollY"), lambda height: height > 0, pause_s=0.05)


async def test_a_dialog_gives_the_focus_back(visit: Visit) -> None:
    await visit.go("/keys")
    button = visit.page.get_by_role("button", name="Create a key")
    await button.focus()
    await _press(visit.page, "Enter")
    await expect(visit.page.get_by_role("dialog")).to_be_visible()
    await _press(visit.page, "Escape")
    await expect(button).to_be_focused()


async def test_escape_does_not_lose_a_new_key(visit: Visit) -> None:
    page = visit.page
    await visit.go("/keys")
    await page.get_by_role("button", name="Create a key").click()
    await page.get_by_label("What it is for").fill("Not to be lost")
    await page.get_by_role("button", name="Create", exact=True).click()
    await expect(page.locator("[data-secret]")).to_be_visible()
    await _press(page, "Escape", "Escape", "Escape")
    await expect(page.locator("[data-secret]")).to_be_visible()
    await page.get_by_label("I have saved it").check()
    await _press(page, "Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_escape_closes_a_menu(visit: Visit) -> None:
    await visit.go("/")
    menu = visit.page.get_by_label("Account")
    await menu.click()
    await expect(visit.page.get_by_role("button", name="Sign out")).to_be_visible()
    await _press(visit.page, "Escape")
    await expect(visit.page.get_by_role("button", name="Sign out")).to_be_hidden()
    await expect(menu).to_be_focused()


async def test_a_key_that_is_held_down_acts_once(visit: Visit) -> None:
    await visit.go("/settings")
    theme = visit.page.get_by_label("Theme", exact=True)
    await visit.page.keyboard.down("t")
    await visit.page.keyboard.down("t")  # a second press without a release is a repeat
    await visit.page.keyboard.up("t")
    await expect(theme).to_have_value("dark")
