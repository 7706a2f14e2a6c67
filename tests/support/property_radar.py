"""A stand-in for PropertyRadar's search: real HTTP, its rules for requests and purchases, and configured failures.

The properties are made up, and all criteria match `matching` of them. Each purchased record is counted by its id.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from services.worker.workloads.leads.model import FIELDS

TOKEN = "a-token-of-the-tests"
MAX_PAGE = 500
KNOWN = {*FIELDS, "Overview", "Standard"}
CRITERIA = {"ZipFive", "APN", "Pool", "AvailableEquity", "PropertyType", "LimitNearest", "InList", "City", "State"}


@dataclass(slots=True)
class PropertyRadar:
    """HTTP server with its recorded requests and sales."""

    url: str = ""
    matching: int = 1000
    free: int = 1_000_000
    price: Decimal = Decimal("0.05")
    shrink_to: int | None = None
    """Number of matches after the first purchase."""
    repeat: int = 0
    """Number of records of a page that are repeated at the start of the next one."""
    fail: list[str] = field(default_factory=list)
    """Failures of the next requests, such as `503`, `buy 503`, `buy drop`; those with `buy` affect purchases only."""
    previews: int = 0
    purchases: Counter[int] = field(default_factory=Counter)
    """Purchases by the start of the page."""
    sold: Counter[str] = field(default_factory=Counter)
    spent: Decimal = Decimal(0)
    hold: asyncio.Event | None = None
    """Event for which the answers to purchases wait, if set."""

    async def search(self, request: web.Request) -> web.StreamResponse:
        """Answer `POST /v1/properties`."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _error(401, "Unauthorized")
        asked = request.query
        if wrong := _wrong(asked, orjson.loads(await request.read())):
            return _error(400, wrong)
        buying = asked["Purchase"] == "1"
        how = self._befalls(buying)
        if how and how.rstrip("+").isdigit():
            headers = {"Retry-After": "1"} if how.endswith("+") else {}
            return _error(int(how.rstrip("+")), "Try again later", headers)
        page = self._page(int(asked.get("Start", 0)), int(asked.get("Limit", 100)))
        cost = self.price * max(0, len(page) - self.free)
        found = self.matching
        if buying:
            self._sell(int(asked.get("Start", 0)), page, cost)
        else:
            self.previews += 1
        fields = asked.get("Fields", "Overview").split(",")
        answer = {
            "results": [_record(number, fields) for number in page] if buying else [],
            "resultCount": len(page),
            "totalResultCount": found,
            "totalCost": f"{cost:.2f}",
            "quantityFreeRemaining": self.free,
        }
        if buying and self.hold is not None:
            await self.hold.wait()
        if how == "drop" and request.transport is not None:
            request.transport.close()
        if how == "late":
            await asyncio.sleep(30)
        if how == "garbled":
            return web.json_response({"resultCount": 3})
        if how == "bare":
            return web.json_response({"data": answer["results"]})
        return web.json_response(answer, headers={"X-Radar-Request-Id": "r-1"})

    def _befalls(self, buying: bool) -> str | None:
        for number, what in enumerate(self.fail):
            which, _, how = what.rpartition(" ")
            if not which or (which == "buy") == buying:
                del self.fail[number]
                return how
        return None

    def _page(self, start: int, limit: int) -> list[int]:
        back = self.repeat if start else 0
        return list(range(start - back, max(start - back, min(start - back + limit, self.matching))))

    def _sell(self, start: int, page: list[int], cost: Decimal) -> None:
        self.purchases[start] += 1
        self.sold.update(f"P{number:08d}" for number in page)
        self.spent += cost
        self.free = max(0, self.free - len(page))
        if self.shrink_to is not None:
            self.matching = self.shrink_to


@asynccontextmanager
async def property_radar(port: int = 0) -> AsyncIterator[PropertyRadar]:
    """Serve on this machine."""
    radar = PropertyRadar()
    app = web.Application(client_max_size=2**20)
    app.router.add_post("/v1/properties", radar.search)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    radar.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield radar
    finally:
        await runner.cleanup()


def _wrong(asked: Mapping[str, str], body: dict[str, Any]) -> str | None:
    """Return the error in a request, or None."""
    if set(body) != {"Criteria"}:
        return "Unexpected payload field"
    if "Purchase" not in asked:
        return "Missing required param: Purchase"
    if asked["Purchase"] not in ("0", "1"):
        return "Invalid yesno value"
    fields = {name.removeprefix("-") for name in asked.get("Fields", "Overview").split(",")}
    if unknown := sorted(fields - KNOWN):
        return f"Unknown field: {unknown[0]}"
    if unknown := sorted({one["name"] for one in body["Criteria"]} - CRITERIA):
        return f"Unexpected Criterion: {unknown[0]}"
    if not 1 <= int(asked.get("Limit", 100)) <= MAX_PAGE:
        return f"Limit must be between 1 and {MAX_PAGE}"
    return None


def _record(number: int, fields: list[str]) -> dict[str, Any]:
    known = {
        "RadarID": f"P{number:08d}",
        "Address": f"{number} Demo St",
        "City": "Portland",
        "State": "OR",
        "ZipFive": "97202",
        "Owner": f"EXAMPLE OWNER {number}",
        "AVM": 300_000 + number,
        "AvailableEquity": 100_000 + number,
        "isSameMailing": number % 2,
        "inForeclosure": str(number % 2),
        "Beds": 3,
        "Latitude": round(45.5 + number % 100 / 1000, 4),
        "Longitude": round(-122.6 - number // 100 % 100 / 1000, 4),
    }
    return {"RadarID": known["RadarID"]} | {name: known[name] for name in fields if name in known}


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"message": message, "eventid": "e-17"}, status=status, headers=headers)
