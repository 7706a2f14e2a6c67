"""GET /meta: the version, the limits and the features of this Batchyard, and the scopes of the caller."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts import __version__
from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.queries import MAX_PAGE
from batchyard_contracts.v1.values import MAX_ITEMS_PER_BATCH, MAX_ITEMS_PER_COMMAND
from services.ingest.domain.api_key import MAX_KEYS_PER_OWNER
from services.ingest.domain.caller import Caller
from services.ingest.domain.scope import Scope, sorted_scopes
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.openapi import problem_responses

FEATURES = (
    "keys",
    "sessions",
    "uploads",
    "retries",
    "sources",
    "questions",
    "rates",
    "dead_letters",
    "progress",
    "audit",
    "reasons",
    "items",
    "overview",
    "timeline",
    "stream",
    "batch_actions",
)


class Meta(BaseModel):
    """A running Batchyard, as the caller may use it."""

    version: str
    time: datetime = Field(description="clock of the server")
    owner: str
    scopes: list[Scope]
    keys_required: bool = Field(description="false as long as no API key was ever made")
    limits: dict[str, int]
    features: list[str]


def routes(access: Access, clock: Callable[[], datetime]) -> APIRouter:
    """Return the route."""
    router = APIRouter(tags=["session"])

    @router.get("/meta", summary="Show version and limits", response_model=Meta, responses=problem_responses(401, 503))
    async def show_meta(caller: Annotated[Caller, Depends(access.caller())]) -> Response:
        """The version, the time of the server, its limits and features, and the scopes of your key."""
        meta = Meta(
            version=__version__,
            time=clock(),
            owner=caller.owner,
            scopes=sorted_scopes(caller.scopes),
            keys_required=access.authenticator.keys_are_required,
            limits={
                "items_per_command": MAX_ITEMS_PER_COMMAND,
                "items_per_batch": MAX_ITEMS_PER_BATCH,
                "message_bytes": MAX_MESSAGE_BYTES,
                "batches_per_page": MAX_PAGE,
                "keys_per_owner": MAX_KEYS_PER_OWNER,
            },
            features=list(FEATURES),
        )
        return Response(meta.model_dump_json(), media_type=body.JSON)

    return router
