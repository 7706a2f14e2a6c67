"""A worker's report as the ledger needs it: results remain unparsed JSON.

The msgspec structs read the same JSON as the contract's `ChunkProcessed`, seven times as fast. Unusual input (a number
given as text, or out of every range) is left to that model.
"""

import re
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
import orjson

from batchyard_contracts.v1.flow import ChunkProcessed
from batchyard_contracts.v1.values import ItemError

_LONG = 300
_HUGE = re.compile(rb"[0-9][eE]\+?[0-9]{3}|[0-9]{%d}" % _LONG)
"""Pattern of numbers that some readers turn into infinity, which JSON cannot express."""
_Owner = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
_Workload = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9-]{0,47}\Z")]
_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]


class Outcome(msgspec.Struct, gc=False, frozen=True):
    """Outcome of one run of one item; `result` and `error` are JSON, empty if absent."""

    ordinal: Annotated[int, msgspec.Meta(ge=0, lt=100_000_000)]
    status: Literal["succeeded", "failed", "retry", "continued", "cancelled"]
    custom_id: str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    delay_s: _Seconds | None = None
    progress: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    elapsed_ms: int = 0
    cached: bool = False
    units: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Report(msgspec.Struct, frozen=True):
    """Report of a worker with its outcomes."""

    type: ClassVar[str] = ChunkProcessed.type
    chunk_id: UUID
    fence: int
    batch_id: UUID
    owner: _Owner
    workload: _Workload
    partition: str
    round: _Positive
    attempt: _Positive
    worker_id: str
    outcomes: list[Outcome]
    final: bool = True
    busy_ms: float = 0.0
    ended: Annotated[int, msgspec.Meta(ge=0)] | None = None

    @classmethod
    def decode(cls, body: bytes) -> "Report":
        """Decode a message body; raise `pydantic.ValidationError` if it is not a valid report."""
        try:
            if not body.isascii():
                body.decode()
            report = _decoder.decode(body)
            for outcome in report.outcomes:
                if outcome.error:
                    error_of(outcome)
                result = bytes(outcome.result)
                if (b"e" in result or b"E" in result or len(result) > _LONG) and _HUGE.search(result):
                    return cls.of(ChunkProcessed.decode(body))
        except (
            msgspec.MsgspecError,
            ValueError,
            RecursionError,
        ):  # the contract's model accepts more, or explains the error
            return cls.of(ChunkProcessed.decode(body))
        return report

    @classmethod
    def of(cls, message: ChunkProcessed) -> "Report":
        """Convert a report that was decoded by the contract's model."""
        outcomes = [
            Outcome(
                o.ordinal,
                o.status,
                o.custom_id,
                msgspec.Raw(b"" if o.result is None else _json(o.result)),
                msgspec.Raw(b"" if o.error is None else o.error.model_dump_json().encode()),
                o.delay_s,
                o.progress,
                o.elapsed_ms,
                o.cached,
                o.units,
            )
            for o in message.outcomes
        ]
        head = {name: getattr(message, name) for name in cls.__struct_fields__ if name != "outcomes"}
        return cls(**head, outcomes=outcomes)


_decoder = msgspec.json.Decoder(Report)


def error_of(outcome: Outcome) -> ItemError | None:
    """Return the error of an outcome, if it has one."""
    error = bytes(outcome.error)
    return ItemError.model_validate_json(error) if error and error != b"null" else None


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer of more than 64 bits
        return orjson.dumps(_with_large_integers(value))


def _with_large_integers(value: Any) -> Any:
    """Return the value with large integers as raw JSON, because orjson does not write them."""
    if isinstance(value, dict):
        return {key: _with_large_integers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_large_integers(part) for part in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return orjson.Fragment(str(value))
    return value
