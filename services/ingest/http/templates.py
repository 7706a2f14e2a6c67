"""Routes of templates."""

from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, JsonValue

from batchyard_contracts.pointer import MISSING
from batchyard_contracts.v1.commands import CommandAccepted
from batchyard_contracts.v1.templates import TemplateForm, TemplateName, TemplateRun, TemplateSave, TemplateVersion
from services.ingest.domain.caller import Caller
from services.ingest.domain.json_difference import Difference
from services.ingest.domain.template import Template
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.models import RestoreRequest
from services.ingest.http.openapi import (
    BODY_STATUSES,
    READ_STATUSES,
    idempotency_key_header,
    problem_responses,
    request_body,
)
from services.ingest.http.submit import with_idempotency_key
from services.ingest.templates.template_manager import TemplateManager

MAX_PAGE = 200
_EXAMPLE: dict[str, Any] = {
    "name": "my-portfolio",
    "parameters": {"properties": {"projects": {"type": "array", "minItems": 1}}, "required": ["projects"]},
    "body": {"workload": "http", "items": []},
    "fill": {"/items": "projects"},
}
Version = Annotated[TemplateVersion | None, Query(description="absent: the latest")]


class TemplateView(BaseModel):
    """A version of a template without its content."""

    name: str
    version: int
    shared: bool = Field(description="true: all owners see it")
    workload: str
    description: str
    created_at: datetime
    created_by: str = Field(description="owner who created the version")


class TemplateDetail(TemplateView):
    """A version of a template."""

    parameters: dict[str, Any]
    body: dict[str, JsonValue]
    fill: dict[str, str]


class TemplateList(BaseModel):
    """Templates by name. `next_after` is the cursor of the next page; absent at the end."""

    templates: list[TemplateView]
    next_after: str | None = None


class TemplateVersions(BaseModel):
    """Versions of a template, the latest first."""

    versions: list[TemplateView]


class ChangedValue(BaseModel):
    """A value that differs between two versions; a side that does not have it is absent."""

    pointer: str = Field(description="JSON Pointer from the root of the template")
    before: JsonValue = None
    after: JsonValue = None


class TemplateDifference(BaseModel):
    """Differences between two versions of a template."""

    changes: list[ChangedValue]


def routes(manager: TemplateManager, access: Access) -> APIRouter:
    """Return the routes."""
    reader, writer = access.owner("batches:read"), access.caller("schedules:write")
    submitter = access.owner("batches:write")
    router = APIRouter(tags=["templates"])

    @router.get(
        "/templates", summary="List templates", response_model=TemplateList, responses=problem_responses(401, 422, 503)
    )
    async def list_all(
        owner: Annotated[str, Depends(reader)],
        after: Annotated[str, Query(max_length=63, description="`next_after` of the previous page")] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        prefix: Annotated[str, Query(max_length=63, description="beginning of the names")] = "",
    ) -> Response:
        """The latest versions of your templates and of shared ones, by name."""
        found = await manager.page(owner, after.replace("\x00", ""), limit, prefix.replace("\x00", ""))
        next_after = found[-1].name if len(found) == limit else None
        return json_response(TemplateList(templates=[_view(one) for one in found], next_after=next_after))

    @router.post(
        "/templates",
        status_code=201,
        summary="Save a template",
        response_model=TemplateDetail,
        responses=problem_responses(401, 409, 422, 503, *BODY_STATUSES),
        openapi_extra=request_body("TemplateSave", _EXAMPLE),
    )
    async def save(request: Request, caller: Annotated[Caller, Depends(writer)]) -> Response:
        """Create a template, or its next version. Versions never change. A template with the content of the latest
        version creates none."""
        command = cast("TemplateSave", await body.read_message(request, TemplateSave))
        return json_response(_detail(await manager.save(caller.owner, command, is_operator=caller.is_operator)), 201)

    @router.get(
        "/templates/{template}",
        summary="Show a template",
        response_model=TemplateDetail,
        responses=problem_responses(*READ_STATUSES),
    )
    async def show(template: TemplateName, owner: Annotated[str, Depends(reader)], version: Version = None) -> Response:
        """A version of a template: its parameters, and the batch that they fill."""
        return json_response(_detail(await manager.get(owner, template, version)))

    @router.get(
        "/templates/{template}/versions",
        summary="List the versions of a template",
        response_model=TemplateVersions,
        responses=problem_responses(*READ_STATUSES),
    )
    async def versions(template: TemplateName, owner: Annotated[str, Depends(reader)]) -> Response:
        """All versions of a template, the latest first."""
        found = await manager.versions(owner, template)
        return json_response(TemplateVersions(versions=[_view(one) for one in found]))

    @router.get(
        "/templates/{template}/difference",
        summary="Compare versions of a template",
        response_model=TemplateDifference,
        responses=problem_responses(*READ_STATUSES),
    )
    async def difference(
        template: TemplateName,
        owner: Annotated[str, Depends(reader)],
        before: Annotated[TemplateVersion, Query(description="the earlier version")],
        after: Version = None,
    ) -> Response:
        """Values that differ between two versions, each with its JSON Pointer."""
        found = await manager.difference(owner, template, before, after)
        changes = TemplateDifference(changes=[_changed(one) for one in found])
        return Response(changes.model_dump_json(exclude_unset=True), media_type=body.JSON)

    @router.post(
        "/templates/{template}/restore",
        status_code=201,
        summary="Restore a version of a template",
        response_model=TemplateDetail,
        responses=problem_responses(*READ_STATUSES, *BODY_STATUSES, 409),
        openapi_extra=request_body("RestoreRequest", {"version": 1}),
    )
    async def restore(template: TemplateName, request: Request, caller: Annotated[Caller, Depends(writer)]) -> Response:
        """Create a version with the content of an earlier one."""
        data = cast("RestoreRequest", await body.read_message(request, RestoreRequest))
        found = await manager.restore(caller.owner, template, data.version, is_operator=caller.is_operator)
        return json_response(_detail(found), 201)

    @router.post(
        "/templates/{template}/submit",
        status_code=202,
        summary="Submit a batch by a template",
        response_model=CommandAccepted,
        responses=problem_responses(*READ_STATUSES, *BODY_STATUSES, 409, 429),
        openapi_extra={
            **request_body("TemplateRun", {"parameters": {"projects": [{"payload": {"project": "Bridge 1"}}]}}),
            "parameters": [idempotency_key_header()],
        },
    )
    async def submit(template: TemplateName, request: Request, owner: Annotated[str, Depends(submitter)]) -> Response:
        """Submit the batch of a template, its places filled by the parameters. The response is that to `POST
        /batches`."""
        run = cast("TemplateRun", await body.read_message(request, TemplateRun))
        run = with_idempotency_key(run, body.idempotency_key(request))
        accepted = await manager.submit(owner, template, run)
        location = f"{request.url.path.partition('/templates/')[0]}/batches/{accepted.batch_id}"
        return Response(accepted.encode(), 202, {"Location": location}, body.JSON)

    @router.delete(
        "/templates/{template}",
        status_code=204,
        summary="Delete a template",
        responses={204: {"description": "It is deleted"}, **problem_responses(*READ_STATUSES, 409)},
    )
    async def delete(template: TemplateName, caller: Annotated[Caller, Depends(writer)]) -> Response:
        """Delete a template with all its versions, unless a schedule uses it."""
        await manager.delete(caller.owner, template, is_operator=caller.is_operator)
        return Response(status_code=204)

    return router


def _fields(template: Template) -> dict[str, Any]:
    named = {name: getattr(template, name) for name in ("name", "version", "workload", "created_at", "created_by")}
    return {**named, "shared": template.is_shared, "description": template.form.description}


def _view(template: Template) -> TemplateView:
    return TemplateView(**_fields(template))


def _detail(template: Template) -> TemplateDetail:
    form: TemplateForm = template.form
    return TemplateDetail(**_fields(template), parameters=form.parameters, body=form.body, fill=form.fill)


def _changed(difference: Difference) -> ChangedValue:
    sides = {"before": difference.before, "after": difference.after}
    return ChangedValue(
        pointer=difference.pointer, **{name: value for name, value in sides.items() if value is not MISSING}
    )
