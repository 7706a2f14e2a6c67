"""Converts reports to outcome rows: only terminal outcomes of the current round, bounded in size and depth."""

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import itemgetter
from uuid import UUID

from batchyard_contracts.json_depth import is_deeper
from batchyard_contracts.v1.flow import ItemsSettled
from batchyard_contracts.v1.values import MAX_RESULT_BYTES, MAX_RESULT_DEPTH, ItemError
from services.aggregator.domain.batch import Batch
from services.aggregator.domain.counters import OutcomeCounters
from services.aggregator.domain.report import Report, error_of

COLUMNS = (
    "batch",
    "ordinal",
    "round",
    "attempts",
    "elapsed_ms",
    "duplicate_of",
    "cached",
    "status",
    "custom_id",
    "error_code",
    "error_message",
    "error_scope",
    "result",
    "duplicate_of_batch",
    "stored_sha256",
    "stored_bytes",
)
"""Columns of the table `outcomes`, in the order of a row's values."""

Row = tuple[
    int,
    int,
    int,
    int,
    int | None,
    int | None,
    bool,
    str,
    str | None,
    str | None,
    str | None,
    str | None,
    bytes | None,
    UUID | None,
    bytes | None,
    int | None,
]

status_of = itemgetter(COLUMNS.index("status"))
_cached_of = itemgetter(COLUMNS.index("cached"))

_MAX_INT = 2**31 - 1
_MAX_CUSTOM_ID_LENGTH = 128
_NO_ERROR = (None, None, None)
_INLINE = (None, None)
"""Reference of an outcome whose result is not in the store."""
_TERMINAL = {"succeeded", "failed", "cancelled"}
_CONTROL_CHARACTERS = {code: " " for code in (*range(32), 127) if chr(code) not in "\t\n"}


def outcome_rows(message: Report | ItemsSettled, batch: Batch) -> list[Row]:
    """Return the outcomes of a message that count for this batch now."""
    if not batch.is_open_for(message.round):
        return []
    if isinstance(message, ItemsSettled):
        return list(_settled_rows(message, batch))
    return _processed_rows(message, batch)


def count_rows(rows: Sequence[Row]) -> OutcomeCounters:
    """Return the counters of these outcomes."""
    return OutcomeCounters.of({**Counter(map(status_of, rows)), "cached": sum(map(_cached_of, rows))})


def _processed_rows(message: Report, batch: Batch) -> list[Row]:
    key, round_, end = batch.key, batch.round, _end_ordinal(batch)
    attempts = _clamp(message.attempt)
    found: list[Row] = []
    for outcome in message.outcomes:
        status: str = outcome.status
        ordinal = outcome.ordinal
        if status not in _TERMINAL or ordinal >= end:
            continue
        result: bytes | None = bytes(outcome.result)
        error = error_of(outcome) if outcome.error else None
        stored = None
        if not result or result == b"null":
            result, stored = None, outcome.stored
        elif len(result) > 2 * MAX_RESULT_DEPTH and (fault := _fault(result)):
            status, error, result = "failed", fault, None
        found.append(
            (
                key,
                ordinal,
                round_,
                attempts,
                _clamp(outcome.elapsed_ms),
                None,
                outcome.cached,
                status,
                outcome.custom_id and strip_control_characters(outcome.custom_id)[:_MAX_CUSTOM_ID_LENGTH],
                *(_NO_ERROR if error is None else (error.code, strip_control_characters(error.message), error.scope)),
                result,
                None,
                *(_INLINE if stored is None else (bytes.fromhex(stored.sha256), stored.bytes)),
            )
        )
    return found


def _settled_rows(message: ItemsSettled, batch: Batch) -> Iterator[Row]:
    end = _end_ordinal(batch)
    for item in message.items:
        if item.ordinal >= end:
            continue
        error = item.error
        yield (
            batch.key,
            item.ordinal,
            batch.round,
            _clamp(item.attempts),
            None,
            item.duplicate_of,
            False,
            message.status,
            item.custom_id and strip_control_characters(item.custom_id)[:_MAX_CUSTOM_ID_LENGTH],
            *(_NO_ERROR if error is None else (error.code, strip_control_characters(error.message), error.scope)),
            None,
            item.duplicate_of_batch,
            *_INLINE,
        )


def _end_ordinal(batch: Batch) -> int:
    """Return the first ordinal that does not exist; counting it would end the batch too early."""
    return _MAX_INT if batch.total is None else batch.total


def _clamp(number: int) -> int:
    return number if 0 <= number <= _MAX_INT else max(0, min(number, _MAX_INT))


def strip_control_characters(text: str) -> str:
    """Replace control characters, which the tables or a terminal would not accept, by spaces."""
    return text if text.isprintable() else text.translate(_CONTROL_CHARACTERS)


def _fault(result: bytes) -> ItemError | None:
    """Return why a result cannot be kept, if it cannot."""
    if len(result) > MAX_RESULT_BYTES:
        return ItemError(
            code="result_too_large",
            message=f"The result has {len(result)} bytes of JSON; at most {MAX_RESULT_BYTES} are kept. "
            "Store it elsewhere and return its address.",
        )
    if is_deeper(result, MAX_RESULT_DEPTH):
        return ItemError(
            code="result_too_deep",
            message=f"The result is nested deeper than {MAX_RESULT_DEPTH} levels, so that nobody could read it. "
            "Flatten it.",
        )
    return None
