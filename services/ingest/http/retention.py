"""Routes of the retention: for how long what belongs to batches is kept."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts.v1.values import Owner, WorkloadName
from services.ingest.domain.caller import Caller
from services.ingest.domain.retention import EVERY, Days, Retention, RetentionRules
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.models import RetentionRequest
from services.ingest.http.openapi import problem_responses, request_body
from services.ingest.retention.retention_manager import RetentionManager


class RetentionRule(BaseModel):
    """Days that a rule sets for an owner, a workload, or both."""

    owner: str = Field(description="`*`: every owner")
    workload: str = Field(description="`*`: every workload")
    days: dict[str, Days] = Field(description="days after the end of a batch, by kind of what is kept")


class RetentionView(BaseModel):
    """Days after the end of a batch for which what belongs to it is kept, by kind; absent: until it is deleted."""

    effective: Retention = Field(description="what holds for the owner and the workload that were asked for")
    defaults: Retention
    rules: list[RetentionRule] = Field(
        description="rules of operators; of two that fit, that with the owner holds, then that with the workload"
    )


def routes(manager: RetentionManager, access: Access) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["retention"])

    @router.get(
        "/retention",
        summary="Show the retention",
        response_model=RetentionView,
        responses=problem_responses(401, 403, 422, 503),
    )
    async def show(
        caller: Annotated[Caller, Depends(access.caller())],
        owner: Annotated[Owner | None, Query(description="for operators: another owner; absent: you")] = None,
        workload: Annotated[WorkloadName | None, Query(description="for a workload; absent: for any")] = None,
    ) -> Response:
        """For how long your batches are kept, and what belongs to them. Operators see all rules, others those that may
        hold for them."""
        whose = owner if owner and caller.is_operator else caller.owner
        return _view(await manager.rules(), whose, workload, of_all=caller.is_operator and owner is None)

    @router.patch(
        "/retention",
        summary="Change the retention",
        response_model=RetentionView,
        responses=problem_responses(400, 401, 403, 408, 409, 413, 415, 422, 503),
        openapi_extra=request_body("RetentionRequest", {"owner": "ann", "workload": "http", "outcomes": 90.0}),
    )
    async def change(request: Request, caller: Annotated[Caller, Depends(access.caller("operate"))]) -> Response:
        """For operators: set the days of some kinds for an owner, a workload, both, or all; `null` takes one back. A
        rule holds within a minute, for batches that have ended already, too. What it has deleted does not come back."""
        data = cast("RetentionRequest", await body.read_message(request, RetentionRequest))
        days = data.model_dump(exclude_unset=True, include=set(Retention.model_fields))
        rules = await manager.change(data.owner or EVERY, data.workload or EVERY, days)
        return _view(rules, data.owner or caller.owner, data.workload, of_all=True)

    return router


def _view(rules: RetentionRules, owner: str, workload: str | None, *, of_all: bool) -> Response:
    shown = [
        RetentionRule(owner=whose, workload=what, days=dict(days))
        for (whose, what), days in rules.rules.items()
        if of_all or whose in {owner, EVERY}
    ]
    effective = rules.of(owner, workload or EVERY)
    return json_response(RetentionView(effective=effective, defaults=rules.defaults, rules=shown))
