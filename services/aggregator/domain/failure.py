"""Failures to be recorded with their causes: items that failed or expired."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from batchyard_contracts.v1.flow import ItemsSettled
from services.aggregator.domain.cause import MAX_EXAMPLE_LENGTH, Cause, cause_id
from services.aggregator.domain.outcome_rows import COLUMNS, Row, status_of
from services.aggregator.domain.report import Report

FAILED_STATUSES = frozenset({"failed", "expired"})
_MAX_PARTITION_LENGTH = 255
_NEVER_STORED = frozenset(
    {
        *("bucket_refused", "file_changed", "file_too_large", "file_too_slow", "file_unavailable", "invalid_item"),
        *("no_items", "too_many_files", "too_many_items", "unknown_format"),
    }
)
"""Codes of lines and files that never became items which could run."""
_NOT_RETRYABLE = _NEVER_STORED | {
    *("item_deleted", "item_too_large", "needs_review", "not_kept", "patch_not_applicable", "worker_lost"),
}
"""Codes of items that another run would not help, or that a person must decide about."""
_ERROR = COLUMNS.index("error_code")


@dataclass(frozen=True, slots=True)
class Failure:
    """Outcome row of a failed or expired item, with its cause."""

    row: Row
    cause: Cause

    @property
    def batch(self) -> int:
        """The ledger's key of the batch."""
        return self.row[0]

    @property
    def ordinal(self) -> int:
        """The item's ordinal."""
        return self.row[1]


def find_failures(message: Report | ItemsSettled, rows: Sequence[Row]) -> Iterator[Failure]:
    """Yield the failures among the rows that were made from a message."""
    settled = isinstance(message, ItemsSettled)
    partitions = {item.ordinal: item.partition for item in message.items} if isinstance(message, ItemsSettled) else {}
    for row in rows:
        if (status := status_of(row)) not in FAILED_STATUSES:
            continue
        code, text, scope = _error(row)
        partition = message.partition if isinstance(message, Report) else partitions.get(row[1])
        yield Failure(row, _cause(code or status, text, partition or "", settled or scope == "provider"))


def partition_label(partition: str) -> str:
    """Return the name of a partition as it is stored with a cause: PostgreSQL refuses U+0000."""
    return partition.replace("\x00", "")[:_MAX_PARTITION_LENGTH]


def _cause(code: str, message: str, partition: str, can_retry: bool) -> Cause:
    label = partition_label(partition)
    return Cause(
        cause_id(code, message, label),
        code,
        label,
        message[:MAX_EXAMPLE_LENGTH],
        can_retry and code not in _NOT_RETRYABLE,
    )


def _error(row: Row) -> tuple[str | None, str, str | None]:
    code, message, scope = row[_ERROR : _ERROR + 3]
    return cast("str | None", code), cast("str", message or ""), cast("str | None", scope)
