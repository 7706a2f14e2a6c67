"""The error by which ingest refuses a command."""

from services.ingest.domain.fault import Fault
from shared.runtime.errors import Rejected

NOT_FOUND = Fault("batch_not_found", "There is no such batch. Check the id, and that the batch is yours.", 404)


class Refused(Rejected):
    """The command is refused whole; nothing of it remains."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault
        self.passing = fault.retry_after_s is not None
