"""Decodes pages of results without a model for each: a result stays JSON until it is needed."""

from typing import ClassVar

import msgspec

from batchyard_contracts.v1.queries import ResultsReply


class ResultRow(msgspec.Struct, gc=False):
    """The fields of a successful `ItemResult` that a summary needs."""

    ordinal: int
    result: msgspec.Raw = msgspec.Raw(b"null")
    custom_id: str | None = None
    cached: bool = False


class ResultPage(msgspec.Struct):
    """Decoder of `results.reply.v1`."""

    type: ClassVar[str] = ResultsReply.type
    items: list[ResultRow] = []
    found: bool = True
    next_after: int | None = None

    @classmethod
    def decode(cls, body: bytes) -> "ResultPage":
        """Decode a body; raises `msgspec.MsgspecError` when it is not a page."""
        return _decoder.decode(body)


_decoder = msgspec.json.Decoder(ResultPage)
