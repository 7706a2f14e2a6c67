"""Reads a page of results without a model for each of them: a result stays the JSON that it is until it is taken."""

from typing import ClassVar

import msgspec

from batchyard_contracts.v1.queries import ResultsReply


class ResultRow(msgspec.Struct, gc=False):
    """An `ItemResult` that succeeded, as far as a summary needs it."""

    ordinal: int
    result: msgspec.Raw = msgspec.Raw(b"null")
    custom_id: str | None = None
    cached: bool = False


class ResultPage(msgspec.Struct):
    """How `results.reply.v1` is read here."""

    type: ClassVar[str] = ResultsReply.type
    items: list[ResultRow] = []
    found: bool = True
    next_after: int | None = None

    @classmethod
    def decode(cls, body: bytes) -> "ResultPage":
        """Read a body; raises `msgspec.MsgspecError` when it is no page."""
        return _decoder.decode(body)


_decoder = msgspec.json.Decoder(ResultPage)
