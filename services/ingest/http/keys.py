"""Routes of API keys."""

from datetime import datetime
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts.v1.values import Owner
from services.ingest.domain.api_key import ApiKey
from services.ingest.domain.caller import Caller
from services.ingest.domain.scope import Scope, sorted_scopes
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.models import KeyRequest, RotateRequest
from services.ingest.http.openapi import BODY_STATUSES, json_body, problem_responses, request_body
from services.ingest.identity.key_manager import KeyManager

_STATUSES = (401, 403, 422, 503)


class KeyView(BaseModel):
    """An API key without its secret."""

    id: str
    owner: str
    name: str
    hint: str = Field(description="beginning and end of the key; empty for a token of the settings")
    scopes: list[Scope]
    created_at: datetime
    created_by: str | None = Field(None, description="id of the key that created it")
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    replaced_by: str | None = Field(None, description="id of the key that was made by rotating this one")
    last_used_at: datetime | None = Field(None, description="written once a minute, the first use at once")
    last_used_from: str | None = Field(None, description="address of the client")


class CreatedKey(KeyView):
    """A new API key. `key` is in this answer alone: it is stored as a hash."""

    key: str


class KeyList(BaseModel):
    """API keys, the oldest of an owner first."""

    keys: list[KeyView]


def routes(manager: KeyManager, access: Access) -> APIRouter:
    """Return the routes."""
    may_write = access.caller("keys:write")
    router = APIRouter(tags=["keys"])

    @router.get("/keys", summary="List API keys", response_model=KeyList, responses=problem_responses(*_STATUSES))
    async def list_all(
        caller: Annotated[Caller, Depends(may_write)],
        owner: Annotated[Owner | None, Query(description="for operators: those of one owner; absent: of all")] = None,
    ) -> Response:
        """Your API keys, with those that ended in the last 30 days; an operator sees those of all owners."""
        found = [KeyView(**_values(key)) for key in await manager.keys(caller, owner)]
        return json_response(KeyList(keys=found))

    @router.post(
        "/keys",
        status_code=201,
        summary="Create an API key",
        response_model=CreatedKey,
        responses=problem_responses(*_STATUSES, *BODY_STATUSES, 409),
        openapi_extra=request_body("KeyRequest", {"name": "nightly import", "scopes": ["batches:write"]}),
    )
    async def create(request: Request, caller: Annotated[Caller, Depends(may_write)]) -> Response:
        """Create an API key of your scopes or fewer. The answer alone has the key itself. An operator may name another
        owner. The first key of an installation makes keys required for every request."""
        data = cast("KeyRequest", await body.read_message(request, KeyRequest))
        text, key = await manager.create(caller, data.owner or caller.owner, data.name, data.scopes, data.expires_at)
        return json_response(CreatedKey(**_values(key), key=text), 201)

    @router.post(
        "/keys/{key_id}/rotate",
        status_code=201,
        summary="Rotate an API key",
        response_model=CreatedKey,
        responses=problem_responses(*_STATUSES, *BODY_STATUSES, 404, 409),
        openapi_extra={
            "requestBody": {"required": False, "content": {body.JSON: json_body("RotateRequest", {"grace_s": 3600})}}
        },
    )
    async def rotate(key_id: str, request: Request, caller: Annotated[Caller, Depends(may_write)]) -> Response:
        """Create a key with the same name, scopes and lifetime. The old one works for `grace_s` seconds yet."""
        raw = await body.read_bytes(request)
        data = RotateRequest()
        if raw:
            body.media_type(request, body.JSON)
            data = cast("RotateRequest", body.decode(raw, RotateRequest))
        text, key = await manager.rotate(caller, key_id, data.grace_s, force=data.force)
        return json_response(CreatedKey(**_values(key), key=text), 201)

    @router.delete(
        "/keys/{key_id}",
        summary="Revoke an API key",
        response_model=KeyView,
        responses=problem_responses(*_STATUSES, 404),
    )
    async def revoke(key_id: str, caller: Annotated[Caller, Depends(may_write)]) -> Response:
        """End a key within a second, on every replica, with its sessions and WebSockets. A second call changes
        nothing."""
        return json_response(KeyView(**_values(await manager.revoke(caller, key_id))))

    return router


def _values(key: ApiKey) -> dict[str, object]:
    return {name: getattr(key, name) for name in KeyView.model_fields} | {"scopes": sorted_scopes(key.scopes)}
