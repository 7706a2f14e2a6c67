"""Client of PropertyRadar: previews the cost of a request, which is free, and buys records, which is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import orjson

from batchyard_contracts.workload import Ambiguous, Transient
from services.worker.workloads.leads.answer import LeadAnswer, answer_of, refusal_of, unusable
from services.worker.workloads.leads.model import Query
from services.worker.workloads.leads.settings import LeadsSettings
from shared.http.failure_words import failure_words
from shared.http.session import open_session
from shared.runtime.egress_guard import read_at_most

MAX_BYTES = 16 * 1024 * 1024
_LAST_WORD_S = 4.0
"""Seconds to wait for a purchase whose item is interrupted: its worker gives it five seconds."""
_AMBIGUOUS = "The records may have been bought; this is not repeated by itself. Look at the account's usage."


@dataclass(frozen=True, slots=True)
class PropertyRadarClient:
    """Client of the API over one shared session."""

    session: aiohttp.ClientSession
    settings: LeadsSettings

    async def preview(self, query: Query, start: int, limit: int) -> LeadAnswer:
        """Ask what a page would cost, without its records. Raises the error of the item otherwise."""
        try:
            return await self._post(query, start, limit, buying=False)
        except TimeoutError as error:
            raise Transient("timeout", f"No answer within {self.settings.timeout_s:g} s.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient("unreachable", f"PropertyRadar gave no answer: {failure_words(error)}.") from error

    async def purchase(self, query: Query, start: int, limit: int) -> LeadAnswer:
        """Buy a page, once. Raises `Ambiguous` if it is unknown whether it was bought, also after an interruption."""
        buying = asyncio.ensure_future(self._post(query, start, limit, buying=True))
        try:
            return await asyncio.shield(buying)
        except asyncio.CancelledError as interruption:
            await asyncio.wait({buying}, timeout=_LAST_WORD_S)
            if buying.done() and not buying.cancelled() and buying.exception() is None:
                return buying.result()
            buying.cancel()
            raise Ambiguous(f"It was interrupted while it was bought. {_AMBIGUOUS}") from interruption
        except aiohttp.ClientConnectorError as error:
            raise Transient("unreachable", f"PropertyRadar is not reached: {failure_words(error)}.") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Ambiguous(f"The answer did not come: {failure_words(error)}. {_AMBIGUOUS}") from error

    async def _post(self, query: Query, start: int, limit: int, *, buying: bool) -> LeadAnswer:
        asked = {
            "Fields": ",".join(query.fields),
            "Limit": str(limit),
            "Start": str(start),
            "Purchase": str(int(buying)),
        }
        if query.sort is not None:
            asked["Sort"] = query.sort
        body = orjson.dumps({"Criteria": [one.model_dump() for one in query.criteria]})
        url = f"{self.settings.url}/v1/properties"
        async with self.session.post(url, params=asked, data=body, allow_redirects=False) as response:
            answer, whole = await read_at_most(response, MAX_BYTES)
            if response.status != 200:
                raise refusal_of(response.status, response.headers, answer, datetime.now(UTC), buying=buying)
        found = answer_of(answer) if whole else None
        if found is None or (found.found is None and not buying):
            raise unusable(answer, buying=buying)
        return found


@asynccontextmanager
async def open_radar() -> AsyncIterator[PropertyRadarClient]:
    """Open the client that the settings describe; it is closed with the worker."""
    settings = LeadsSettings()
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": "Batchyard-Leads/1",
        "Authorization": f"Bearer {settings.key.get_secret_value()}",
    }
    timeout = aiohttp.ClientTimeout(total=settings.timeout_s, sock_connect=10)
    async with open_session(headers=headers, timeout=timeout) as session:
        yield PropertyRadarClient(session, settings)
