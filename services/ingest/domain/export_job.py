"""An export of the results of a batch as files with a manifest, and how far it is."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from batchyard_contracts.message import Value
from batchyard_contracts.v1.values import Cause, Count, ErrorCode, Round, TerminalStatus

ExportFormat = Literal["ndjson", "csv", "parquet"]
PART_BYTES = 64 * 1024 * 1024
"""Size in bytes of JSON at which a part ends."""
MANIFEST, MANIFEST_DIGEST = "manifest.json", "manifest.sha256"
"""Names of the manifest, and of its digest: once that exists, the export is complete."""
MEDIA_TYPES: Mapping[str, str] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


class ExportForm(Value, extra="forbid"):
    """Format and selection of an export."""

    format: Annotated[ExportFormat, Field(description="format of the parts")] = "ndjson"
    status: TerminalStatus | None = None
    error_code: ErrorCode | None = None
    cause: Annotated[Cause | None, Field(description="cause of the failure, as `failures` names it")] = None
    round: Annotated[
        Round | None, Field(description="only outcomes of this round; absent: those that hold at the start")
    ] = None


class ExportPart(Value):
    """One file of an export."""

    name: Annotated[str, Field(max_length=40)]
    rows: Count
    bytes: Annotated[int, Field(ge=0, le=2**53, description="size of the file")]
    sha256: Annotated[str, Field(max_length=64, description="SHA-256 of the file, hexadecimal")]
    first: Annotated[int | None, Field(ge=0, le=2**31, description="ordinal of its first outcome")] = None
    last: Annotated[int | None, Field(ge=0, le=2**31, description="ordinal of its last outcome")] = None


class ExportProgress(Value):
    """Files that a job has written so far, and its knowledge of the batch."""

    parts: list[ExportPart] = Field([])
    counts: dict[str, int] = Field({})
    """Outcomes by status."""
    cursor: str | None = None
    round: int = 1
    """Round of the batch when the export began."""
    had_ended: bool = False
    """True if that round had ended when the export began."""
    is_complete: bool | None = None
    """True if the export has all outcomes of a round that had ended; None while it runs."""
    manifest_sha256: str | None = None
    manifest_bytes: int = 0
    attempts: int = 0
    """Attempts in a row that failed."""


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest_line(digest: str) -> bytes:
    """Return the content of the file with the digest of the manifest, as `sha256sum --check` reads it."""
    return f"{digest}  {MANIFEST}\n".encode()


@dataclass(frozen=True, slots=True)
class ExportJob:
    """An export."""

    export_id: UUID
    owner: str
    batch_id: UUID
    form: ExportForm
    created_at: datetime
    ended_at: datetime | None
    progress: ExportProgress
    error: str | None
    version: int
    """Number of claims so far: a process whose claim is not the newest saves nothing."""

    @property
    def state(self) -> Literal["running", "succeeded", "failed"]:
        """State of the job."""
        if self.ended_at is None:
            return "running"
        return "failed" if self.error else "succeeded"

    @property
    def folder(self) -> str:
        """Folder of its files in the store."""
        return f"{self.batch_id}/{self.export_id}"

    @property
    def next_name(self) -> str:
        """Name of the next part. It contains the claim, so that a process that has lost its claim replaces no part of
        another one."""
        return self._part_name(len(self.progress.parts), self.version)

    @property
    def file_names(self) -> list[str]:
        """Names of all files that any claim of the job may have written, in the store."""
        known = [part.name for part in self.progress.parts]
        names, place = {*known, self.next_name, MANIFEST, MANIFEST_DIGEST}, 0
        for claim in range(1, self.version + 1):
            names.add(self._part_name(place, claim))
            if known[place : place + 1] == [self._part_name(place, claim)]:
                place += 1
        return [f"{self.folder}/{name}" for name in sorted(names)]

    def _part_name(self, place: int, claim: int) -> str:
        return f"part-{place:05d}-{claim}.{self.form.format}"

    def manifest(self, workload: str, result_schema: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest. It names no time, so that the same results have the same manifest, unless one of the
        exports was interrupted."""
        progress = self.progress
        return {
            "batch_id": str(self.batch_id),
            "workload": workload,
            "round": self.form.round or progress.round,
            "format": self.form.format,
            "filters": self.form.model_dump(exclude={"format", "round"}, exclude_none=True),
            "complete": progress.is_complete,
            "rows": sum(part.rows for part in progress.parts),
            "counts": dict(sorted(progress.counts.items())),
            "parts": [part.model_dump() for part in progress.parts],
            "result_schema": result_schema,
            **({"metadata": metadata} if metadata else {}),
        }
