"""The files of an export have names that no two claims share, and all of them are known when it is deleted."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from services.ingest.domain.export_job import ExportForm, ExportJob, ExportPart, ExportProgress

JOB = ExportJob(
    UUID(int=1), "ann", UUID(int=2), ExportForm(), datetime(2026, 12, 1, tzinfo=UTC), None, ExportProgress(), None, 1
)


def after(job: ExportJob, *names: str, version: int) -> ExportJob:
    parts = [ExportPart(name=name, rows=1, bytes=1, sha256="0" * 64) for name in names]
    return replace(job, progress=ExportProgress(parts=parts), version=version)


def test_the_name_of_a_part_has_its_claim() -> None:
    assert JOB.next_name == "part-00000-1.ndjson"
    assert after(JOB, JOB.next_name, version=4).next_name == "part-00001-4.ndjson"


def test_the_parts_of_lost_claims_are_among_the_files() -> None:
    job = after(JOB, "part-00000-2.ndjson", "part-00001-5.ndjson", version=7)
    assert [name.removeprefix(f"{job.folder}/") for name in job.file_names] == [
        "manifest.json",
        "manifest.sha256",
        "part-00000-1.ndjson",
        "part-00000-2.ndjson",
        "part-00001-3.ndjson",
        "part-00001-4.ndjson",
        "part-00001-5.ndjson",
        "part-00002-6.ndjson",
        "part-00002-7.ndjson",
    ]


def test_the_parts_of_an_earlier_version_keep_their_names() -> None:
    job = after(JOB, "part-00000.ndjson", version=2)
    assert f"{job.folder}/part-00000.ndjson" in job.file_names
    assert f"{job.folder}/{job.next_name}" in job.file_names
