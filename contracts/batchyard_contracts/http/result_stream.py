"""Results as a stream of lines, which can be continued after a failure."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from batchyard_contracts.http.operations import Operation
from batchyard_contracts.v1.values import ItemResult


class ResultStream:
    """Reader of a body of results that arrives in pieces. After a failure, `operation` asks for the results that are
    missing."""

    def __init__(self, batch_id: UUID, query: Mapping[str, Any]) -> None:
        self._path = f"/batches/{batch_id}/results"
        self._query = {"after": -1, **query, "format": "ndjson"}
        self._rest = b""

    def operation(self) -> Operation[None]:
        """Request for the results after the last one that was read."""
        self._rest = b""
        return Operation("GET", self._path, lambda _: None, dict(self._query))

    def feed(self, piece: bytes) -> list[ItemResult]:
        """Return the results that a piece completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        found = [ItemResult.model_validate_json(line) for line in lines]
        if found:
            self._query["after"] = found[-1].ordinal
        return found
