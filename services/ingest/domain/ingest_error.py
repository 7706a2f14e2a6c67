"""The exception with which ingest rejects a command."""

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from services.ingest.domain.rejection import Rejection
from shared.runtime.errors import MessageRejected

NOT_FOUND = Rejection("batch_not_found", "There is no such batch. Check the id, and that the batch is yours.", 404)


class IngestError(MessageRejected):
    """The command is rejected as a whole and leaves nothing behind."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(str(rejection))
        self.rejection = rejection
        self.is_retryable = rejection.retry_after_s is not None


def too_large(size: int) -> Rejection:
    """Return the rejection of a command or query whose message to the other services has `size` bytes."""
    detail = (
        f"The message to the other services would have {size} bytes, and at most {MAX_MESSAGE_BYTES} fit. Shorten the "
        "request, or split it."
    )
    return Rejection("message_too_large", detail, 413)
