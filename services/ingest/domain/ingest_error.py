"""The exception with which ingest rejects a command."""

from services.ingest.domain.rejection import Rejection
from shared.runtime.errors import MessageRejected

NOT_FOUND = Rejection("batch_not_found", "There is no such batch. Check the id, and that the batch is yours.", 404)


class IngestError(MessageRejected):
    """The command is rejected as a whole and leaves nothing behind."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(str(rejection))
        self.rejection = rejection
        self.is_retryable = rejection.retry_after_s is not None
