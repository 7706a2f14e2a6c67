"""The worker's reading of a chunk agrees with the contract's."""

import json
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from batchyard_contracts.v1.work import ChunkHead, ChunkItem, ChunkReady
from services.worker.consuming.chunk_decoder import ChunkDecoder
from shared.messaging.fast_readers import RawChunkItem

HEAD: dict[str, Any] = {
    "chunk_id": "0197a5b0-0000-7000-8000-0000000000c0",
    "fence": 2,
    "batch_id": "0197a5b0-0000-7000-8000-000000000001",
    "owner": "ann",
    "workload": "noop",
    "priority": "normal",
    "partition": ',"items":[',
    "round": 1,
    "attempt": 3,
}
PLAIN = [{"ordinal": 0, "payload": {"n": 1}}]


def body(items: object, separators: tuple[str, str] = (",", ":"), **head: Any) -> bytes:
    return json.dumps(HEAD | head | {"items": items}, separators=separators).encode()


def test_a_decoded_item_has_every_field_of_the_contract() -> None:
    assert set(RawChunkItem.__struct_fields__) == set(ChunkItem.model_fields)


@pytest.mark.parametrize(
    "chunk",
    [
        body(PLAIN),
        body(PLAIN, (", ", ": ")),
        body(
            [{"ordinal": 7, "payload": [2**80, -(2**70), 1.5, None, "\u00fc\x00"], "custom_id": "c", "state": {"a": 1}}]
        ),
        body([{"ordinal": "7", "payload": {}}]),
        body([{"ordinal": 7, "payload": {}, "later": 1}], later={"items": [1]}),
        body(PLAIN)[:-1] + b',"quarantined":true}',
        body(PLAIN, quarantined=True, reuse={"cache": "off"}),
        body(PLAIN).replace(b'"n":1', b'"n":1e999'),
        body([]),
        body(None),
        body([{"ordinal": -1, "payload": {}}]),
        body([{"ordinal": 1}]),
        body([{"ordinal": 1, "payload": {}, "custom_id": 5}]),
        body(PLAIN, round=0),
        body(PLAIN)[:-1],
        body(PLAIN) + b"}",
        body([{"ordinal": 1, "payload": "x"}]).replace(b'"x"', b'"\xff"'),
        ChunkHead.model_validate(HEAD).with_items([b'{"ordinal":3,"payload":{"n":9}}']),
        b"{}",
    ],
)
def test_both_decoders_agree(chunk: bytes) -> None:
    try:
        contract = ChunkReady.decode(chunk)
    except ValidationError:
        with pytest.raises(ValidationError):
            ChunkDecoder.decode(chunk)
        return
    read = ChunkDecoder.decode(chunk)
    assert read.model_dump(exclude={"items"}) == contract.model_dump(exclude={"items"})
    for item, meant in zip(read.items, contract.items, strict=True):
        as_read = {name: getattr(item, name) for name in ChunkItem.model_fields}
        assert as_read == {name: getattr(meant, name) for name in ChunkItem.model_fields}


def test_a_chunk_as_the_dispatcher_writes_it_is_decoded_without_models() -> None:
    (item,) = ChunkDecoder.decode(ChunkHead.model_validate(HEAD).with_items([b'{"ordinal":3,"payload":{"n":9}}'])).items
    assert isinstance(item, msgspec.Struct)
