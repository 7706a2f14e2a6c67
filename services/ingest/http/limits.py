"""Routes of the limits of owners."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts.v1.values import Owner
from services.ingest.domain.caller import Caller
from services.ingest.domain.owner_limits import OwnerLimits
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.models import LimitsRequest
from services.ingest.http.openapi import problem_responses, request_body
from services.ingest.limits.limit_manager import LimitManager


class LimitsView(BaseModel):
    """Limits of an owner. What is beyond them is answered with 429."""

    owner: str
    limits: OwnerLimits
    set: dict[str, Any] = Field(description="limits that an operator has set for this owner")
    in_use: dict[str, int] = Field(description="what waits, and uploads, WebSockets and questions at present")


class LimitsList(BaseModel):
    """Limits of the owners for whom some were set."""

    owners: list[LimitsView]


def routes(manager: LimitManager, access: Access) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["limits"])
    operator = [Depends(access.caller("operate"))]

    @router.get("/limits", summary="Show your limits", response_model=LimitsView, responses=problem_responses(401, 503))
    async def show_own(caller: Annotated[Caller, Depends(access.caller())]) -> Response:
        """Your limits, and what is in use."""
        return _view(caller.owner)

    @router.get(
        "/owners/limits",
        summary="List limits",
        response_model=LimitsList,
        responses=problem_responses(401, 403, 503),
        dependencies=operator,
    )
    async def list_all() -> Response:
        """The limits of all owners for whom an operator has set some."""
        found = LimitsList(owners=[_limits(owner) for owner in manager.owners()])
        return json_response(found)

    @router.get(
        "/owners/{name}/limits",
        summary="Show the limits of an owner",
        response_model=LimitsView,
        responses=problem_responses(401, 403, 422, 503),
        dependencies=operator,
    )
    async def show(name: Owner) -> Response:
        """The limits of one owner."""
        return _view(name)

    @router.patch(
        "/owners/{name}/limits",
        summary="Change the limits of an owner",
        response_model=LimitsView,
        responses=problem_responses(400, 401, 403, 408, 409, 413, 415, 422, 503),
        openapi_extra=request_body("LimitsRequest", {"requests": 1000, "weight": 2.0, "uploads": None}),
        dependencies=operator,
    )
    async def change(name: Owner, request: Request) -> Response:
        """Set some limits of an owner; `null` takes one back, so that the default holds. A change holds within two
        seconds, for the owner's share of the workers too."""
        data = cast("LimitsRequest", await body.read_message(request, LimitsRequest))
        await manager.change(name, data.model_dump(exclude_unset=True))
        return _view(name)

    @router.delete(
        "/owners/{name}/limits",
        summary="Clear the limits of an owner",
        response_model=LimitsView,
        responses=problem_responses(401, 403, 422, 503),
        dependencies=operator,
    )
    async def clear(name: Owner) -> Response:
        """Take all limits of an owner back: the defaults hold."""
        await manager.change(name, dict.fromkeys(OwnerLimits.model_fields))
        return _view(name)

    def _limits(owner: str) -> LimitsView:
        limits, changes, use = manager.limits(owner)
        return LimitsView(owner=owner, limits=limits, set=changes, in_use=use)

    def _view(owner: str) -> Response:
        return json_response(_limits(owner))

    return router
