"""Reads a chunk without a model for each item: their payloads are judged by the workload's own model anyway."""

from typing import Annotated, Any, ClassVar, cast

import msgspec

from batchyard_contracts.v1.work import ChunkHead, ChunkItem, ChunkReady

_ITEMS = b',"items":'
"""Quotes in a text are escaped, so this is never part of one."""


class DecodedItem(msgspec.Struct):
    """A `ChunkItem`, made eight times as fast."""

    ordinal: Annotated[int, msgspec.Meta(ge=0, lt=100_000_000)]
    payload: Any
    custom_id: str | None = None
    state: Any = None
    source: bool | None = None
    rerun: bool = False


_decoder = msgspec.json.Decoder(Annotated[list[DecodedItem], msgspec.Meta(min_length=1)])


class ChunkDecoder:
    """How `chunk.ready.v1` is read here."""

    type: ClassVar[str] = ChunkReady.type

    @classmethod
    def decode(cls, body: bytes) -> ChunkReady:
        """Read a body; raises `pydantic.ValidationError` when it is no chunk."""
        at = body.find(_ITEMS)
        try:
            items = _decoder.decode(body[at + len(_ITEMS) : -1])
            head = ChunkHead.decode(body[:at] + b"}")
        except (msgspec.MsgspecError, ValueError, RecursionError):  # the contract reads more, or says what is wrong
            return ChunkReady.decode(body)
        return ChunkReady.model_construct(**dict(head), items=cast("list[ChunkItem]", items))
