"""Believes a report only with the lease token of its chunk, as the ledger does: else a batch would never end."""

from batchyard_contracts.lease_token import LeaseTokens
from services.dispatcher.domain.report import Report
from shared.runtime.errors import MessageRejected


class LeasedReportDecoder:
    """Decoder of reports. Without a key it believes each."""

    def __init__(self, tokens: LeaseTokens) -> None:
        self.type = Report.type
        self._tokens = tokens

    def decode(self, body: bytes) -> Report:
        """Read a body; raises `pydantic.ValidationError` if it is no report, `MessageRejected` without its token."""
        report = Report.decode(body)
        if self._tokens and (head := report.head) is not None and self._tokens.ordinals(head, head.lease) is None:
            raise MessageRejected("The report has no valid lease token: its worker did not receive this chunk.")
        return report
