"""The reply to a query that could not be answered."""

from typing import ClassVar

from batchyard_contracts.message import Message
from batchyard_contracts.v1.values import Detail, ErrorCode


class QueryFailed(Message):
    """Reply to a query that could not be answered; `detail` gives the reason."""

    type: ClassVar[str] = "query.failed.v1"
    code: ErrorCode
    detail: Detail
