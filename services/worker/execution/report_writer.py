"""Encodes the reports of a chunk: one message, or several when the results are large."""

from collections.abc import Iterator, Sequence

from batchyard_contracts.v1.flow import ChunkProcessed
from services.worker.domain import outcome as domain
from services.worker.domain.outcome import Outcome, encode_outcome, is_final

REPORT_BYTES_MAX = 1_500_000
"""Size above which a report is split, and above which a single result cannot be stored."""
_CLOSING_BYTES = len(b"]}")


def report_bodies(head: ChunkProcessed, outcomes: Sequence[Outcome]) -> Iterator[bytes]:
    """Encode the messages, each with its share of the busy time; `head` is the report without outcomes."""
    item_ms = head.busy_ms / max(1, len(outcomes))

    def parts(lines: Sequence[bytes], part: Sequence[Outcome], *, final: bool) -> Iterator[bytes]:
        changes = {
            "final": final,
            "busy_ms": round(item_ms * len(part), 3),
            "feedback": head.feedback if part and part[0] is outcomes[0] else None,
            "ended": len(part) if all(map(is_final, part)) else None,
        }
        body = head.model_copy(update=changes).encode()[:-_CLOSING_BYTES] + b",".join(lines) + b"]}"
        if len(body) <= REPORT_BYTES_MAX:
            yield body
        elif len(part) == 1:
            failed = [domain.too_large(part[0], len(body), REPORT_BYTES_MAX)]
            yield from parts([*map(encode_outcome, failed)], failed, final=final)
        else:
            middle = len(part) // 2
            yield from parts(lines[:middle], part[:middle], final=False)
            yield from parts(lines[middle:], part[middle:], final=final)

    yield from parts([*map(encode_outcome, outcomes)], outcomes, final=head.final)
