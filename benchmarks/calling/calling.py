"""A workload that calls a destination once for each item, under the limits that the variable CALLING gives as JSON."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from pydantic import BaseModel

from batchyard_contracts.v1.manifest import Adaptive, CircuitRule, Limit, Partition
from batchyard_contracts.v1.values import Rate, RetryRule
from batchyard_contracts.workload import Context, Limits, Permanent, RateLimited, Retry, Transient, Workload

_GIVEN: dict[str, Any] = json.loads(os.environ.get("CALLING", "{}"))
_MODELS: dict[str, type[BaseModel]] = {"rate": Rate, "adaptive": Adaptive, "circuit": CircuitRule}
_SETTINGS: dict[str, Any] = {k: _MODELS[k].model_validate(v) if k in _MODELS else v for k, v in _GIVEN.items()}
_RATES = {name: Rate.model_validate(rate) for name, rate in _SETTINGS.pop("rates", {}).items()}
_MORE = [Limit.model_validate(limit) for limit in _SETTINGS.pop("limits", [])]
_CIRCUIT = _SETTINGS.pop("circuit", None)


class Item(BaseModel):
    """The address to call. `partition` is its partition, `account` that of a second limit."""

    url: str
    partition: str = ""
    account: str = ""


class Called(BaseModel):
    """The status of the answer."""

    status: int


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open one session for all calls of a worker."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as opened:
        yield opened


workload = Workload(
    "calling",
    version="1",
    item=Item,
    result=Called,
    lifespan=session,
    partition=Partition(pointer="/partition"),
    limits=Limits(rates=_RATES, additional=_MORE, **_SETTINGS),
    retry=Retry({"default": RetryRule(attempts=3, base_s=0.1, cap_s=0.5)}, circuit=_CIRCUIT),
)


@workload.handler
async def run(item: Item, context: Context) -> Called:
    """Call the address, and judge the answer."""
    opened: aiohttp.ClientSession = context.resources
    async with opened.post(item.url) as response:
        if response.status == 429:
            pause = response.headers.get("Retry-After")
            raise RateLimited(float(pause) if pause else None)
        if response.status == 401:
            raise Permanent("bad_key", "The destination does not know the key.", scope="provider")
        if response.status >= 500:
            raise Transient(f"http_{response.status}")
        return Called(status=response.status)
