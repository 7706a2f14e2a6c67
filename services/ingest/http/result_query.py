"""Parameters that select results."""

from typing import Annotated
from uuid import UUID

from fastapi import Query

from batchyard_contracts.v1.queries import Cursor, StreamOrder
from batchyard_contracts.v1.values import (
    MAX_ITEMS_PER_BATCH,
    Cause,
    CustomId,
    ErrorCode,
    Round,
    StreamCursor,
    TerminalStatus,
)
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.rejection import Rejection
from services.ingest.queries.result_reader import ResultSelection
from services.ingest.queries.result_stream import StreamSelection

_ORDERS: dict[str, StreamOrder] = {"o": "ordinal", "c": "completion"}


class ResultQuery:
    """Parameters of a request for results."""

    def __init__(
        self,
        status: TerminalStatus | None = None,
        error_code: ErrorCode | None = None,
        cause: Annotated[Cause | None, Query(description="cause of the failure, as `failures` names it")] = None,
        custom_id: Annotated[CustomId | None, Query(description="your id of the item")] = None,
        round_: Annotated[
            Round | None,
            Query(
                alias="round",
                description="only outcomes of this round, also those that a later round has replaced; absent: those "
                "that hold now",
            ),
        ] = None,
        follow: Annotated[
            bool,
            Query(
                description="with `format=ndjson`: outcomes as they are recorded, until the batch or the round has "
                "ended; empty lines keep the connection open while there is nothing new"
            ),
        ] = False,
        order: Annotated[
            StreamOrder | None,
            Query(
                description="`ordinal`: the order of the items, and with `follow` each waits for those before it; "
                "`completion`: the order in which they were recorded. Absent: `completion` with `follow`, else "
                "`ordinal`"
            ),
        ] = None,
        cursor: Annotated[
            StreamCursor | None, Query(description="`cursor` of the last line that you have, to continue after it")
        ] = None,
        after: Annotated[Cursor, Query(description="ordinal after which the page starts")] = -1,
        limit: Annotated[
            int | None, Query(ge=1, le=MAX_ITEMS_PER_BATCH, description="largest number of outcomes; absent: all")
        ] = None,
    ) -> None:
        self._status, self._error_code, self._cause = status, error_code, cause
        self._custom_id, self._round = custom_id, round_
        self.follow = follow
        self._order, self._cursor, self._after = order, cursor, after
        self.limit = limit
        self.is_stream = follow or (custom_id, round_, order, cursor) != (None,) * 4
        """True if the outcomes have cursors."""

    def selection(self, owner: str, batch_id: UUID) -> ResultSelection:
        """Return a selection without what a stream alone has."""
        return ResultSelection(owner, batch_id, self._status, self._error_code, self._after, self.limit, self._cause)

    def stream(self, owner: str, batch_id: UUID) -> StreamSelection:
        """Return the selection of a stream; raises `IngestError` where parameters exclude each other."""
        cursor, order = self._cursor, self._order
        if self._after != -1:
            if cursor is not None or order == "completion":
                raise _invalid("`after` is an ordinal: it goes with neither `cursor` nor `order=completion`.")
            cursor = f"o{self._after}"
        of_cursor = _ORDERS[cursor[0]] if cursor else None
        if order is not None and of_cursor not in {None, order}:
            raise _invalid(f"The cursor continues the order `{of_cursor}`: send that, or no `order`.")
        return StreamSelection(
            owner,
            batch_id,
            order or of_cursor or ("completion" if self.follow else "ordinal"),
            cursor,
            self._status,
            self._error_code,
            self._cause,
            self._custom_id,
            self._round,
            self.limit,
        )


def _invalid(detail: str) -> IngestError:
    return IngestError(Rejection("invalid_request", detail))
