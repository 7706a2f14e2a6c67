"""Entity tags of a batch: the state that commands change, and conditions on it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from batchyard_contracts.v1.commands import BatchSubmit
from batchyard_contracts.v1.queries import BatchState
from batchyard_contracts.v1.values import Counts
from services.ingest.domain.batch import BatchHeader
from services.ingest.domain.ingest_error import IngestError
from services.ingest.domain.precondition import CHANGED, Precondition, entity_tag, is_unchanged

AT = datetime(2026, 11, 30, 6, 0, 0, 123_456, tzinfo=UTC)
HEADER = BatchHeader.from_command(UUID(int=7), "ann", BatchSubmit(workload="squares"), "sealed", AT, None)


def state(**changes: Any) -> BatchState:
    return HEADER.to_state().model_copy(update={"counts": Counts(total=3, remaining=3), **changes})


def tag_of(batch: BatchState) -> str:
    return entity_tag(batch, batch.model_dump_json().encode())


def holds(condition: str, header: BatchHeader = HEADER) -> bool:
    """Tell whether a condition holds for a batch."""
    found = Precondition.parse(condition)
    try:
        found.check(header)
    except IngestError as error:
        return error.rejection is not CHANGED
    return True


def test_a_tag_changes_with_every_change_of_the_document() -> None:
    tags = {tag_of(state()), tag_of(state(counts=Counts(total=3, remaining=2))), tag_of(state(controlled_at=AT))}
    assert len(tags) == 3
    assert all(tag[0] == tag[-1] == '"' and not tag.startswith("W/") for tag in tags)


def test_a_command_is_done_for_the_state_that_was_read_whatever_the_progress() -> None:
    controlled = replace(HEADER, controlled_at=AT)
    read = state(controlled_at=AT)
    assert holds(tag_of(read), controlled)
    assert holds(tag_of(read.model_copy(update={"counts": Counts(total=3, succeeded=1, remaining=2)})), controlled)
    assert holds(f'"other", {tag_of(read)}', controlled)
    assert holds("*", controlled)


@pytest.mark.parametrize(
    "header",
    [
        replace(HEADER, controlled_at=AT + timedelta(microseconds=1)),
        replace(HEADER, controlled_at=AT, state="open"),
        HEADER,
    ],
    ids=["another command", "open again", "a state of the future"],
)
def test_a_command_is_not_done_when_the_batch_was_changed(header: BatchHeader) -> None:
    assert not holds(tag_of(state(controlled_at=AT)), header)


def test_sealing_is_a_change() -> None:
    opened = replace(HEADER, state="open")
    tag = tag_of(state(counts=Counts(remaining=3)))
    assert holds(tag, opened)
    assert not holds(tag)


def test_a_weak_tag_is_not_enough_for_a_command() -> None:
    assert not holds(f"W/{tag_of(state())}")


@pytest.mark.parametrize("condition", ["abc", '"a" "b"', '"a",', "", 'W/"a"x', '"a'])
def test_a_condition_that_is_none_is_refused(condition: str) -> None:
    with pytest.raises(IngestError) as caught:
        Precondition.parse(condition)
    assert (caught.value.rejection.code, caught.value.rejection.status) == ("invalid_request", 422)


def test_a_document_is_unchanged_only_with_its_whole_tag() -> None:
    tag = tag_of(state())
    later = tag_of(state(counts=Counts(total=3, remaining=2)))
    assert is_unchanged(tag, tag)
    assert is_unchanged(f'"x", W/{tag}', tag)
    assert is_unchanged("*", tag)
    assert not is_unchanged(later, tag)
    assert not is_unchanged(None, tag)
