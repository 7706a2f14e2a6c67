"""Results as a stream of lines, which can be continued after a failure."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from batchyard_contracts.http.operations import Operation
from batchyard_contracts.v1.values import ItemResult

PATIENCE_S = 60.0
"""Seconds for which a stream that follows a batch is tried again without a further result."""
PAUSE_S = 1.0


class ResultStream:
    """Reader of a body of results that arrives in pieces. After a failure, `operation` asks for the results that are
    missing."""

    def __init__(self, batch_id: UUID, query: Mapping[str, Any]) -> None:
        self._path = f"/batches/{batch_id}/results"
        self._query = {"after": -1, **query, "format": "ndjson"}
        self._rest = b""
        self._has_results = False
        self._failing_since: float | None = None

    def operation(self) -> Operation[None]:
        """Request for the results after the last one that was read."""
        self._rest = b""
        self._has_results = False
        return Operation("GET", self._path, lambda _: None, dict(self._query))

    def feed(self, piece: bytes) -> list[ItemResult]:
        """Return the results that a piece completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        found = [ItemResult.model_validate_json(line) for line in lines if line]
        if found:
            self._has_results, self._failing_since = True, None
            last = found[-1]
            self._query |= {"after": last.ordinal} if last.cursor is None else {"after": -1, "cursor": last.cursor}
        return found

    def pause_s(self, now: float) -> float | None:
        """Return the seconds to wait before the stream is continued after a failure; None when it is given up.

        Without a further result a second attempt is for streams alone that follow a batch.
        """
        if self._has_results:
            return 0.0
        if not self._query.get("follow"):
            return None
        self._failing_since = self._failing_since or now
        return PAUSE_S if now - self._failing_since < PATIENCE_S else None
