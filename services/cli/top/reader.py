"""Reads the data of live pages, by the requests that the other commands make."""

from dataclasses import dataclass

import msgspec

from services.cli.client.api import Api
from services.cli.client.documents import Batch, Batches, Failures
from services.cli.client.overview_documents import Overview
from services.cli.client.reason_documents import Reasons
from services.cli.client.series_documents import Series
from services.cli.errors import NotFound, NotReachable

_MAX_BATCHES = 100
POINTS = 40
"""Steps of time of a chart."""


@dataclass(frozen=True, slots=True)
class OverviewData:
    """Data of the page of all batches."""

    overview: Overview
    batches: list[Batch]
    """Batches that have not ended, the newest first."""
    series: Series


@dataclass(frozen=True, slots=True)
class BatchData:
    """Data of the page of one batch; a part that nobody can tell at present is None."""

    batch: Batch
    failures: Failures
    reasons: Reasons | None
    series: Series


class TopReader:
    """Reader of live pages."""

    def __init__(self, api: Api, owner: str | None) -> None:
        self._api, self._owner = api, owner

    @property
    def url(self) -> str:
        """Address of Batchyard."""
        return self._api.address.url

    def overview(self) -> OverviewData:
        """Read the page of all batches."""
        owner = {"owner": self._owner}
        overview = msgspec.json.decode(self._api.get("/overview", owner), type=Overview)
        states = {"state": ["open", "running", "paused"], "limit": _MAX_BATCHES, **owner}
        batches = msgspec.json.decode(self._api.get("/batches", states), type=Batches).batches
        return OverviewData(overview, batches, self._series("/series", owner))

    def batch(self, batch_id: str) -> BatchData:
        """Read the page of one batch."""
        path, owner = f"/batches/{batch_id}", {"owner": self._owner}
        batch = msgspec.json.decode(self._api.get(path, owner), type=Batch)
        failures = Failures()
        if batch.counts.failed or batch.counts.expired:
            failures = msgspec.json.decode(self._api.get(f"{path}/failures", owner), type=Failures)
        return BatchData(batch, failures, self._reasons(path, batch), self._series(f"{path}/series", owner))

    def pause_or_resume(self, batch: Batch) -> str:
        """Pause a batch that runs, or resume one that is paused; return what was done in words."""
        action = "resume" if batch.status == "paused" else "pause"
        self._api.send("POST", f"/batches/{batch.batch_id}/{action}", query={"owner": self._owner})
        return f"{action}: {batch.batch_id}"

    def _reasons(self, path: str, batch: Batch) -> Reasons | None:
        if batch.status == "finished":
            return None
        try:
            return msgspec.json.decode(self._api.get(f"{path}/reasons", {"owner": self._owner}), type=Reasons)
        except NotReachable:
            return None

    def _series(self, path: str, owner: dict[str, str | None]) -> Series:
        try:
            return msgspec.json.decode(self._api.get(path, {"points": POINTS, **owner}), type=Series)
        except (NotFound, NotReachable):  # a server of an earlier version, or a service that is away
            return Series(0)
