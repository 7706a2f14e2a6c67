"""Decodes chunks without a pydantic model for each item: the workload's own model validates payloads anyway."""

from typing import Annotated, ClassVar, cast

import msgspec

from batchyard_contracts.v1.work import ChunkHead, ChunkItem, ChunkReady
from shared.messaging.fast_readers import RawChunkItem

_ITEMS = b',"items":'
"""Start of the item list. Quotes inside strings are escaped, so this never occurs in one."""


_decoder = msgspec.json.Decoder(Annotated[list[RawChunkItem], msgspec.Meta(min_length=1)])


class ChunkDecoder:
    """Decoder of `chunk.ready.v1`."""

    type: ClassVar[str] = ChunkReady.type

    @classmethod
    def decode(cls, body: bytes) -> ChunkReady:
        """Decode a body; raises `pydantic.ValidationError` when it is not a chunk."""
        at = body.find(_ITEMS)
        try:
            items = _decoder.decode(body[at + len(_ITEMS) : -1])
            head = ChunkHead.decode(body[:at] + b"}")
        except (
            msgspec.MsgspecError,
            ValueError,
            RecursionError,
        ):  # the model of the contract accepts more, or explains the error
            return ChunkReady.decode(body)
        return ChunkReady.model_construct(**dict(head), items=cast("list[ChunkItem]", items))
