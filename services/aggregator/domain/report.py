"""A worker's report as the ledger needs it: results remain unparsed JSON.

Unusual input (a number given as text, or out of every range) is left to the contract's `ChunkProcessed`.
"""

import re
from typing import Any, ClassVar

import msgspec
import orjson

from batchyard_contracts.v1.flow import ChunkProcessed
from batchyard_contracts.v1.values import ItemError
from shared.messaging.fast_readers import RawOutcome, RawReport, RawStoredResult

_LONG = 300
_HUGE = re.compile(rb"[0-9][eE]\+?[0-9]{3}|[0-9]{%d}" % _LONG)
"""Pattern of numbers that some readers turn into infinity, which JSON cannot express."""


class Report(RawReport, frozen=True):
    """Report of a worker with its outcomes."""

    type: ClassVar[str] = ChunkProcessed.type

    @classmethod
    def decode(cls, body: bytes) -> "Report":
        """Decode a message body; raise `pydantic.ValidationError` if it is not a valid report.

        An outcome that cannot be read fails its own item alone.
        """
        try:
            if not body.isascii():
                body.decode()
            report = _decoder.decode(body)
            for outcome in report.outcomes:
                if outcome.error:
                    error_of(outcome)
                result = bytes(outcome.result)
                if (b"e" in result or b"E" in result or len(result) > _LONG) and _HUGE.search(result):
                    return cls.of(ChunkProcessed.decode_leniently(body))
        except (
            msgspec.MsgspecError,
            ValueError,
            RecursionError,
        ):  # the contract's model accepts more, or explains the error
            return cls.of(ChunkProcessed.decode_leniently(body))
        return report

    @classmethod
    def of(cls, message: ChunkProcessed) -> "Report":
        """Convert a report that was decoded by the contract's model."""
        outcomes = [
            RawOutcome(
                ordinal=o.ordinal,
                status=o.status,
                custom_id=o.custom_id,
                result=msgspec.Raw(b"" if o.result is None else _json(o.result)),
                stored=None if o.stored is None else RawStoredResult(o.stored.sha256, o.stored.bytes),
                error=msgspec.Raw(b"" if o.error is None else o.error.model_dump_json().encode()),
                delay_s=o.delay_s,
                guessed=o.guessed,
                progress=o.progress,
                elapsed_ms=o.elapsed_ms,
                cached=o.cached,
                units=o.units,
            )
            for o in message.outcomes
        ]
        head = {name: getattr(message, name) for name in cls.__struct_fields__ if name not in {"outcomes", "feedback"}}
        return cls(**head, outcomes=outcomes)


_decoder = msgspec.json.Decoder(Report)


def error_of(outcome: RawOutcome) -> ItemError | None:
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
