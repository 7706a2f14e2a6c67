"""Requests begin by turn of owner, and are counted."""

import asyncio
from typing import Any, cast

from starlette.requests import HTTPConnection

from services.ingest.domain.caller import Caller
from services.ingest.domain.owner_limits import OwnerLimits
from services.ingest.http.access import Access
from services.ingest.http.origin import PublicAddress
from services.ingest.identity.authenticator import Credential
from services.ingest.limits.limit_keeper import LimitKeeper
from tests.support.patience import PATIENCE_S


class Keys:
    """Every key is that of the owner with its name."""

    async def caller(self, credential: Credential, _: str) -> Caller:
        return Caller(credential.presented, frozenset(), credential.presented)


def access() -> Access:
    limits = LimitKeeper(cast("Any", None), OwnerLimits())
    address = PublicAddress(None, None, is_encrypted=True)
    return Access(cast("Any", Keys()), address, cast("Any", None), limits)


def request(owner: str) -> HTTPConnection:
    headers = [(b"authorization", f"Bearer {owner}".encode())]
    return HTTPConnection({"type": "http", "method": "GET", "path": "/", "headers": headers, "client": ("h", 1)})


async def test_a_request_behind_a_hundred_of_another_owner_begins_after_one_of_them() -> None:
    checked, begun = access(), list[str]()

    async def send(owner: str) -> None:
        await checked.authenticate(request(owner))
        begun.append(owner)

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(send(owner) for owner in [*["greedy"] * 100, "modest"]))
    assert begun.index("modest") <= 2


async def test_the_rest_of_the_quota_goes_along_with_the_request() -> None:
    checked, connection = access(), request("ann")
    await checked.authenticate(connection)
    await checked.authenticate(second := request("ann"))
    assert second.state.rate_limit.left == connection.state.rate_limit.left - 1
