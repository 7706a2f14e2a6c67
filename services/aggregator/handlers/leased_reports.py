"""Believes a report only with the lease token of its chunk, and only on the items of this chunk."""

import msgspec
import structlog

from batchyard_contracts.lease_token import LeaseTokens
from services.aggregator.domain.report import Report
from shared.runtime.errors import MessageRejected

log = structlog.get_logger()


class LeasedReportDecoder:
    """Decoder of reports. Without a key it believes each."""

    def __init__(self, tokens: LeaseTokens) -> None:
        self.type = Report.type
        self._tokens = tokens

    def decode(self, body: bytes) -> Report:
        """Read a body, without outcomes of other items; raises `pydantic.ValidationError` if it is no report,
        `MessageRejected` without its token."""
        report = Report.decode(body)
        if not self._tokens:
            return report
        leased = self._tokens.ordinals(report, report.lease)
        if leased is None:
            raise MessageRejected("The report has no valid lease token: its worker did not receive this chunk.")
        if not leased.has_all([outcome.ordinal for outcome in report.outcomes]):
            log.warning("report on items of other chunks", workload=report.workload, worker_id=report.worker_id)
            outcomes = [outcome for outcome in report.outcomes if outcome.ordinal in leased]
            report = msgspec.structs.replace(report, outcomes=outcomes)
        return report
