"""Writes the pictures of the README, in both themes: `make screenshots`."""

import asyncio
from typing import Any, Literal

from playwright.async_api import async_playwright

from batchyard_contracts.api_keys import new_api_key
from devstack import Servers, default_home
from tests.support.chromium import START_FLAGS, chromium_program
from tests.support.cluster import running_cluster
from tests.support.command import PROJECT
from tests.support.dashboard_visit import Visit, sign_in, visiting
from tests.support.keyed_cluster import KeyedCluster
from tests.support.patience import until
from tests.support.servers import running_servers

FOLDER = PROJECT / "docs" / "pictures"
_WIDTH, _HEIGHT = 1280, 860
_THEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
_CODES = {17: "captcha", 41: "http_503", 97: "parse_error"}


def _items(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Payloads of noop, of which some fail by one of three codes."""
    found = []
    for n in range(count):
        code = next((code for divisor, code in _CODES.items() if n % divisor == divisor - 1), None)
        found.append({"n": n, **fields, **({"fail": code} if code else {})})
    return found


async def _seed(keyed: KeyedCluster) -> str:
    """Submit the batches of the pictures; return the id of the one that is shown."""
    await keyed.submit_and_wait(_items(600), name="Friday sets", labels={"source": "1001", "crew": "ann"})
    await keyed.submit_and_wait([{"n": n} for n in range(2400)], name="Leads, all states")
    await keyed.submit_and_wait(_items(150), name="Reread of the archive", labels={"source": "1001"})
    slow = [{"n": n, "sleep_s": 0.2} for n in range(5000)]
    await keyed.submit(slow, name="November archive", priority="low", rate={"per_second": 6})
    paused = await keyed.submit(slow[:3000], name="Prices, west coast", rate={"per_second": 30})
    shown = await keyed.submit(
        _items(10_000, sleep_s=0.1),
        name="Sets of the weekend",
        labels={"source": "1001", "crew": "ann"},
        rate={"per_second": 60, "burst": 60},
    )
    headers = {"Authorization": f"Bearer {keyed.owner_key}"}

    async def ended() -> int:
        async with keyed.cluster.http.get(f"batches/{shown}", headers=headers) as answer:
            counts = (await answer.json())["counts"]
        return int(counts["succeeded"]) + int(counts["failed"])

    await until(ended, lambda count: count > 900, pause_s=0.5)
    async with keyed.cluster.http.post(f"batches/{paused}/pause", headers=headers) as answer:
        assert answer.status == 202
    return str(shown)


async def _take(visit: Visit, name: str, theme: str) -> None:
    await visit.page.wait_for_load_state("networkidle")
    await visit.page.screenshot(path=FOLDER / f"{name}-{theme}.png")
    print(f"{FOLDER / name}-{theme}.png")  # noqa: T201


async def _take_all(servers: Servers) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    key = new_api_key("test")
    async with (
        running_cluster(servers, {"BATCHYARD_OPERATOR_KEY": key}, token=key) as cluster,
        async_playwright() as playwright,
    ):
        first = KeyedCluster(cluster, key, "")
        keyed = KeyedCluster(cluster, key, await first.create_key("ann", "Ann's laptop"))
        shown = await _seed(keyed)
        browser = await playwright.chromium.launch(executable_path=chromium_program(), args=list(START_FLAGS))
        for theme in _THEMES:
            async with visiting(browser, keyed.url, width=_WIDTH, scheme=theme) as visit:
                await visit.page.set_viewport_size({"width": _WIDTH, "height": _HEIGHT})
                await sign_in(visit, keyed.owner_key)
                for path, name in (("/", "overview"), ("/batches", "batches"), (f"/batches/{shown}", "batch")):
                    await visit.go(path)
                    await _take(visit, name, theme)
        await browser.close()


def main() -> None:
    """Start a cluster, fill it, and take the pictures."""
    with running_servers(default_home()) as shared, shared.isolated() as servers:
        asyncio.run(_take_all(servers))


if __name__ == "__main__":
    main()
