"""Routes of sessions: a browser exchanges an API key for a cookie."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.ingest.domain.caller import Caller
from services.ingest.domain.scope import Scope, sorted_scopes
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.openapi import problem_responses
from services.ingest.identity.session_manager import LIFETIME, SessionManager


class SessionView(BaseModel):
    """The client of a request: its owner, and the scopes of its key."""

    owner: str
    scopes: list[Scope]
    key_id: str | None = Field(None, description="absent as long as the installation has no keys")
    by_session: bool = Field(description="true for a browser that has signed in")
    expires_at: datetime | None = Field(None, description="of a session that begins: its end")


def routes(manager: SessionManager, access: Access) -> APIRouter:
    """Return the routes."""
    anybody = access.caller()
    router = APIRouter(tags=["session"])

    @router.post(
        "/session",
        status_code=201,
        summary="Sign in",
        response_model=SessionView,
        responses=problem_responses(401, 403, 409, 503),
    )
    async def start(caller: Annotated[Caller, Depends(anybody)]) -> Response:
        """Exchange the API key of the request for a session. The answer sets a cookie that scripts cannot read. The
        session ends after 12 hours, after one hour without a request, and with its key. A request that changes
        something by it needs the header `X-Batchyard`, with any value, and has to come from a page of the same
        origin."""
        session_id, expires_at = await manager.start(caller)
        response = json_response(_view(caller).model_copy(update={"expires_at": expires_at}), 201)
        _set_cookie(response, access, session_id, int(LIFETIME.total_seconds()))
        return response

    @router.get(
        "/session", summary="Show who you are", response_model=SessionView, responses=problem_responses(401, 503)
    )
    async def show(caller: Annotated[Caller, Depends(anybody)]) -> Response:
        """Your owner, and the scopes of your key."""
        return json_response(_view(caller))

    @router.delete("/session", status_code=204, summary="Sign out", responses=problem_responses(401, 403, 503))
    async def end(request: Request, caller: Annotated[Caller, Depends(anybody)]) -> Response:
        """End the session of the request. Its key goes on."""
        credential = access.credential(request)
        if caller.by_session and credential is not None:
            await manager.end(caller, credential)
        response = Response(status_code=204)
        _set_cookie(response, access, "", 0)
        return response

    return router


def _view(caller: Caller) -> SessionView:
    return SessionView(
        owner=caller.owner,
        scopes=sorted_scopes(caller.scopes),
        key_id=caller.key_id,
        by_session=caller.by_session,
        expires_at=None,
    )


def _set_cookie(response: Response, access: Access, value: str, age_s: int) -> None:
    address = access.address
    response.set_cookie(
        address.cookie_name, value, age_s, path="/", secure=address.is_encrypted, httponly=True, samesite="strict"
    )
