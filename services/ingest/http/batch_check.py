"""POST /batch-check: tells what a submission would meet, and stores nothing."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from batchyard_contracts.v1.commands import MAX_INPUT_ERRORS, BatchSubmit, InputError
from services.ingest.domain.check_result import CheckResult
from services.ingest.http.access import Access
from services.ingest.http.json_response import json_response
from services.ingest.http.openapi import problem_responses
from services.ingest.http.submission_body import UploadQuery, read_submission, submission_body
from services.ingest.submission.batch_checker import BatchChecker

_MAX_SHOWN = 20
_EXAMPLE: dict[str, Any] = {"workload": "http", "items": [{"payload": {"url": "https://example.org/"}}]}


class DestinationItems(BaseModel):
    """Items that go to one destination."""

    partition: str
    items: int


class BatchCheck(BaseModel):
    """Result of the check of a submission."""

    acceptable: bool = Field(description="true: the batch would be accepted now")
    items: int = Field(description="items that were checked, valid or not")
    valid: int
    duplicates: int = Field(description="items that repeat an earlier one of the first 100,000")
    whole: bool = Field(description="false: it was so long that its rest was not checked")
    problems: list[InputError] = Field(description="reasons for which the batch as a whole would be refused")
    errors: list[InputError] = Field(description=f"invalid items, in their order: the first {MAX_INPUT_ERRORS}")
    error_count: int = Field(description="number of all invalid items")
    unknown_fields: dict[str, int] = Field(
        description="number of items by the name of a field that the workload does not know, and thus ignores: the 20 "
        "most frequent"
    )
    destinations: list[DestinationItems] = Field(description="the 20 destinations with most items")


def routes(checker: BatchChecker, access: Access) -> APIRouter:
    """Return the route."""
    owner_of = access.owner("batches:write")
    router = APIRouter(tags=["batches"])

    @router.post(
        "/batch-check",
        summary="Check a batch before it is submitted",
        response_model=BatchCheck,
        responses=problem_responses(400, 401, 408, 413, 415, 422, 429, 503),
        openapi_extra=submission_body(_EXAMPLE),
    )
    async def check(
        request: Request, owner: Annotated[str, Depends(owner_of)], query: Annotated[UploadQuery, Depends()]
    ) -> Response:
        """Take the body and the parameters of a submission, and tell what it would meet: invalid items, duplicates,
        limits, and fields that the workload does not know. Nothing is stored, and nothing runs. A file is read for at
        most a minute."""
        submitted = await read_submission(request, query)
        if isinstance(submitted, BatchSubmit):
            found = await checker.check(owner, submitted)
        else:
            found = await checker.check_upload(owner, submitted)
        return json_response(_view(found))

    return router


def _view(found: CheckResult) -> BatchCheck:
    return BatchCheck(
        acceptable=found.is_acceptable,
        items=found.items,
        valid=found.items - found.rejections.count,
        duplicates=found.duplicates,
        whole=not found.rejections.is_cut,
        problems=[problem.as_error() for problem in found.problems],
        errors=[rejection.as_error() for rejection in found.rejections.found],
        error_count=found.rejections.count,
        unknown_fields=dict(found.unknown_fields.most_common(_MAX_SHOWN)),
        destinations=[
            DestinationItems(partition=name, items=number)
            for name, number in found.destinations.most_common(_MAX_SHOWN)
        ],
    )
