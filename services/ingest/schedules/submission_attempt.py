"""Makes a submission for a row, and tells what becomes of the row, also when the submission meets a defect."""

from collections.abc import Awaitable

import structlog

from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.submission_outcome import Accepted, Failed, SubmissionOutcome, outcome_of
from shared.runtime.transient import is_transient

log = structlog.get_logger()


async def try_submission(submission: Awaitable[object]) -> SubmissionOutcome:
    """Return the outcome of a submission; raises transient errors. A defect fails this row alone."""
    try:
        await submission
    except IngestError as error:
        return outcome_of(error.rejection)
    except Exception as error:
        if is_transient(error):
            raise
        log.exception("submission met a defect")
        return Failed(f"A defect: {type(error).__name__}. The log has the details.")
    return Accepted()
