"""Routes of lists of batches: an owner's, and those of all for operators."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from batchyard_contracts.v1.queries import MAX_PAGE, BatchesQuery, BatchState
from batchyard_contracts.v1.values import (
    MAX_METADATA_BYTES,
    BatchName,
    BatchStatus,
    Priority,
    Result,
    Time,
    WorkloadName,
)
from services.ingest.api.service import IngestService
from services.ingest.domain.batch_filter import BatchFilter, Search, State
from services.ingest.domain.caller import Caller
from services.ingest.http import body
from services.ingest.http.access import Access
from services.ingest.http.labels import NO_CONTROLS, LineParam, labels_of, metadata_of
from services.ingest.http.models import BatchList
from services.ingest.http.openapi import problem_responses


class BatchChoice:
    """Parameters of a list of batches."""

    def __init__(
        self,
        status: BatchStatus | None = None,
        result: Annotated[Result | None, Query(description="how a finished batch ended")] = None,
        state: Annotated[
            tuple[State, ...], Query(max_length=8, description="states and results, of which a batch has one")
        ] = (),
        priority: Annotated[
            tuple[Priority, ...], Query(max_length=3, description="priorities, of which a batch has one")
        ] = (),
        workload: WorkloadName | None = None,
        q: Annotated[
            Search | None,
            Query(description="part of the name or of the value of a label, or the beginning of the id"),
        ] = None,
        name: Annotated[
            BatchName | None, Query(description="part of the name, in letters of either case", pattern=NO_CONTROLS)
        ] = None,
        label: Annotated[tuple[LineParam, ...], Query(description="`key=value`, among others")] = (),
        metadata: Annotated[
            str | None,
            Query(
                description="JSON object that is part of the metadata, on every level",
                max_length=MAX_METADATA_BYTES,
                examples=['{"order": {"id": 7}}'],
            ),
        ] = None,
        accepted_from: Annotated[Time | None, Query(description="accepted at this time or later")] = None,
        accepted_before: Annotated[Time | None, Query(description="accepted before this time")] = None,
        sort: Annotated[Literal["newest", "oldest"], Query(description="by the time of acceptance")] = "newest",
        before: Annotated[UUID | None, Query(description="`next_before` of the previous page")] = None,
        after: Annotated[
            UUID | None, Query(description="`next_after` of the previous page, or a batch: only later ones")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    ) -> None:
        self._limit, self._oldest_first = limit, sort == "oldest"
        chosen = BatchFilter(
            state=list(state),
            priority=list(priority),
            workload=workload,
            q=q,
            label=labels_of(label),
            metadata=metadata_of(metadata),
            accepted_from=accepted_from,
            accepted_before=accepted_before,
        )
        self._filters: dict[str, Any] = chosen.query_fields() | {
            "status": status,
            "result": result,
            "name": name,
            "before": before,
            "after": after,
        }

    def query(self, owner: str, *, all_owners: bool = False) -> BatchesQuery:
        """Return the query for the batches of an owner, or of all."""
        return BatchesQuery(
            owner=owner, all_owners=all_owners, oldest_first=self._oldest_first, limit=self._limit, **self._filters
        )

    def page(self, found: Sequence[BatchState], explained: Sequence[BatchState]) -> Response:
        """Return the page with the states that were found, explained."""
        last = found[-1].batch_id if len(found) == self._limit else None
        place = {"next_after" if self._oldest_first else "next_before": last}
        page = BatchList(batches=list(explained), **place)
        return Response(page.model_dump_json(), media_type=body.JSON)


_Choice = Annotated[BatchChoice, Depends()]


def routes(service: IngestService, access: Access) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["batches"])

    @router.get(
        "/batches",
        summary="List batches",
        response_model=BatchList,
        responses=problem_responses(401, 422, 502, 503, 504),
    )
    async def list_all(owner: Annotated[str, Depends(access.any_owner("batches:read"))], choice: _Choice) -> Response:
        """Your batches, the one that was accepted last first, each with the reason why it waits if no item runs."""
        found = await service.aggregator.batches(choice.query(owner))
        explained = await service.waiting_reasons.explain(owner, found)
        return choice.page(found, service.progress_hub.forecasts.add_to(explained))

    @router.get(
        "/owners/batches",
        summary="List the batches of all owners",
        response_model=BatchList,
        responses=problem_responses(401, 403, 422, 502, 503, 504),
    )
    async def list_of_all_owners(
        caller: Annotated[Caller, Depends(access.caller("operate"))], choice: _Choice
    ) -> Response:
        """For operators: the batches of all owners, the one that was accepted last first."""
        found = await service.aggregator.batches(choice.query(caller.owner, all_owners=True))
        explained = await service.waiting_reasons.explain_all(found)
        return choice.page(found, service.progress_hub.forecasts.add_to(explained))

    return router
