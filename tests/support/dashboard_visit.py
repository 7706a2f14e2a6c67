"""A browser that looks at the dashboard, and notes all that a reader should never meet."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, Response

AXE = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
window.alert = () => console.error("a payload was executed");
"""
_SERIOUS = ("serious", "critical")


@dataclass
class Visit:
    """One context of the browser, with what went wrong in it."""

    page: Page
    context: BrowserContext
    url: str
    """Address of the dashboard, without a slash at its end."""
    faults: list[str] = field(default_factory=list)
    expected_statuses: set[int] = field(default_factory=set)
    """Statuses of answers that the test wants to see."""

    async def go(self, path: str) -> None:
        """Open a page of the dashboard, and wait until it has its heading."""
        await self.page.goto(f"{self.url}{path}")
        await self.page.locator("h1").first.wait_for()

    def state(self, word: str) -> Locator:
        """Return the place where the page shows that its subject is in this state; the timeline has such words too."""
        return self.page.locator(".state").filter(has_text=re.compile(f"^{word}$")).first

    async def width_of_page(self) -> int:
        """Return the width that the page takes, which is that of the window unless something sticks out."""
        width: int = await self.page.evaluate("document.documentElement.scrollWidth")
        return width

    async def barriers(self) -> list[str]:
        """Return the serious faults that axe finds for readers with disabilities."""
        await self.page.evaluate(AXE.read_text("utf-8"))
        found: dict[str, Any] = await self.page.evaluate("axe.run()")
        return [
            f"{each['id']}: {node['html'][:160]}"
            for each in found["violations"]
            if each["impact"] in _SERIOUS
            for node in each["nodes"]
        ]

    def note_console(self, message: ConsoleMessage) -> None:
        """Note an error in the console, but for the browser's own line about an answer, which is noted by itself."""
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.faults.append(f"console: {message.text[:300]}")

    def note_failure(self, request: Request) -> None:
        """Note a request without an answer, unless the page has taken it back."""
        if "ERR_ABORTED" not in (request.failure or ""):
            self.faults.append(f"failed: {request.method} {request.url} {request.failure}")

    def note_response(self, response: Response) -> None:
        """Note an answer that is an error."""
        if response.status >= 400 and response.status not in self.expected_statuses:
            self.faults.append(f"status {response.status}: {response.request.method} {response.url}")


@asynccontextmanager
async def visiting(
    browser: Browser, url: str, *, width: int = 1280, scheme: Literal["light", "dark"] = "light"
) -> AsyncIterator[Visit]:
    """Open a context of the browser for the dashboard at an address."""
    context = await browser.new_context(
        viewport={"width": width, "height": 820}, color_scheme=scheme, reduced_motion="reduce"
    )
    await context.add_init_script(_REPORT_VIOLATIONS)
    page = await context.new_page()
    visit = Visit(page, context, url)
    page.on("console", visit.note_console)
    page.on("pageerror", lambda error: visit.faults.append(f"error: {str(error)[:300]}"))
    page.on("requestfailed", visit.note_failure)
    page.on("response", visit.note_response)
    try:
        yield visit
    finally:
        await context.close()


async def sign_in(visit: Visit, key: str) -> None:
    """Sign the browser in by a link for a key."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{visit.url}/api/v1/session/links") as answer,
    ):
        path: str = (await answer.json())["path"]
    await visit.page.goto(f"{visit.url}{path}")
    await visit.page.locator("main h1").wait_for()
