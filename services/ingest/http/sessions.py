"""Routes of sessions: a browser exchanges an API key for a cookie."""

from datetime import datetime
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from services.ingest.domain.caller import Caller
from services.ingest.domain.rejection import Rejection
from services.ingest.domain.scope import Scope, sorted_scopes
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.models import RedeemRequest
from services.ingest.http.openapi import problem_responses, request_body
from services.ingest.identity.session_manager import LIFETIME, SessionManager

_MAX_BODY_BYTES = 16 * 1024
_TOO_LARGE = Rejection("message_too_large", f"This request has at most {_MAX_BODY_BYTES} bytes.", 413)


class SignInLink(BaseModel):
    """A link that signs a browser in, once. Its token is in the fragment, which browsers send to no server."""

    path: str = Field(description="path and fragment of the link, for the address of this Batchyard")
    expires_at: datetime


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

    @router.post(
        "/session/links",
        status_code=201,
        summary="Make a link that signs in",
        response_model=SignInLink,
        responses=problem_responses(401, 403, 409, 503),
    )
    async def make_link(caller: Annotated[Caller, Depends(anybody)]) -> Response:
        """Make a link that signs in with the API key of the request, once and within an hour."""
        token, expires_at = await manager.make_link(caller)
        return json_response(SignInLink(path=f"/#sign-in={token}", expires_at=expires_at), 201)

    @router.post(
        "/session/redeem",
        status_code=201,
        summary="Sign in by a link",
        response_model=SessionView,
        responses=problem_responses(400, 401, 403, 408, 413, 415, 422, 503),
        openapi_extra={**request_body("RedeemRequest", {"token": "c2l4dGVlbiBieXRlcyBhdCBsZWFzdA"}), "security": []},
    )
    async def redeem(request: Request) -> Response:
        """Exchange the token of a link for a session. No API key is needed; the token counts once."""
        body.media_type(request, body.JSON)
        sent = body.decode(await body.read_bytes(request, _MAX_BODY_BYTES, _TOO_LARGE), RedeemRequest)
        token = cast("RedeemRequest", sent).token
        key, session_id, expires_at = await manager.redeem(token, request.client.host if request.client else "")
        view = SessionView(
            owner=key.owner, scopes=sorted_scopes(key.scopes), key_id=key.id, by_session=True, expires_at=expires_at
        )
        response = json_response(view, 201)
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
