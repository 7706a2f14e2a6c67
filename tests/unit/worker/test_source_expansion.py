"""Items that a source found are split into messages that the broker takes, or the source fails."""

import pytest
from pydantic import BaseModel

from batchyard_contracts.message import MAX_MESSAGE_BYTES
from batchyard_contracts.v1.work import ChunkItem
from batchyard_contracts.workload import Expansion
from services.worker.execution.source_expansion import outcome_of, split_sources
from tests.support.chunk_runs import chunk


class Found(BaseModel):
    """An item that the source found."""

    text: str


SOURCE = ChunkItem(ordinal=0, payload={}, source=True)
ENVELOPE_BYTES = 1024
LARGEST = MAX_MESSAGE_BYTES - ENVELOPE_BYTES - len('{"text":""}')


@pytest.mark.parametrize("sizes", [[LARGEST], [900_000, LARGEST], [LARGEST, 10, LARGEST], [1] * 2500, []])
def test_everything_that_a_source_finds_fits_its_messages(sizes: list[int]) -> None:
    value = Expansion([Found(text="x" * size) for size in sizes], result={"found": len(sizes)})
    sent, (outcome,) = split_sources(chunk(1), [outcome_of(SOURCE, value, 5)])
    assert (outcome.status, outcome.result) == ("succeeded", {"found": len(sizes)})
    assert all(len(message.encode()) <= MAX_MESSAGE_BYTES for message in sent)
    assert [len(item["payload"]["text"]) for message in sent for item in message.model_dump()["items"]] == sizes
    assert [message.sequence for message in sent] == list(range(len(sent)))
    assert [message.last for message in sent] == [*[False] * (len(sent) - 1), True]


def test_an_item_that_fits_no_message_fails_the_source() -> None:
    value = Expansion([Found(text="x"), Found(text="é" * (LARGEST // 2 + 1))], result={})
    sent, (outcome,) = split_sources(chunk(1), [outcome_of(SOURCE, value, 5)])
    assert sent == []
    assert outcome.error is not None
    assert (outcome.status, outcome.error.code) == ("failed", "source_too_large")
    assert "place 1" in outcome.error.message
