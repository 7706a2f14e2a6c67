"""A lease token is believed for its own chunk and items alone."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.lease_token import MIN_KEY_LENGTH, LeaseTokens
from batchyard_contracts.v1.values import MAX_LEASE_TOKEN

CHUNK, BATCH = UUID(int=1), UUID(int=2)
KEY, OTHER = "k" * MIN_KEY_LENGTH, "o" * MIN_KEY_LENGTH


@dataclass(frozen=True)
class Chunk:
    """The fields that a token is made for."""

    chunk_id: UUID = CHUNK
    fence: int = 1
    batch_id: UUID = BATCH
    round: int = 1
    attempt: int = 1
    owner: str = "ann"
    workload: str = "w"
    partition: str = "a.example"


@given(st.sets(st.integers(0, 40) | st.integers(0, 99_999_999), min_size=1), st.integers(0, 50))
def test_a_token_names_the_items_of_its_chunk(ordinals: set[int], other: int) -> None:
    tokens = LeaseTokens([KEY])
    leased = tokens.ordinals(Chunk(), tokens.issue(Chunk(), ordinals))
    assert leased is not None
    assert leased.has_all(sorted(ordinals))
    assert (other in leased) is (other in ordinals) is leased.has_all([other])


CHANGES: dict[str, Any] = {"chunk_id": UUID(int=3), "fence": 2, "batch_id": UUID(int=3), "round": 2, "attempt": 2}
CHANGES |= {"owner": "bob", "workload": "v", "partition": "b.example"}


@pytest.mark.parametrize("name", CHANGES)
def test_a_token_is_that_of_one_chunk(name: str) -> None:
    tokens = LeaseTokens([KEY])
    assert tokens.ordinals(replace(Chunk(), **{name: CHANGES[name]}), tokens.issue(Chunk(), [0])) is None


def test_a_text_that_is_no_token_is_not_believed() -> None:
    tokens, real = LeaseTokens([KEY]), LeaseTokens([KEY]).issue(Chunk(), range(10))
    more = real.replace("0-9.", "0-99.")
    for token in (None, "", ".", "0-9.", real[:-1], more, LeaseTokens([OTHER]).issue(Chunk(), range(10)), "é.é"):
        assert tokens.ordinals(Chunk(), token) is None


def test_keys_are_rotated_by_adding_the_new_one_first() -> None:
    token = LeaseTokens.parse(KEY).issue(Chunk(), [5])
    both = LeaseTokens.parse(f"{OTHER}, {KEY}")
    assert both.ordinals(Chunk(), token) is not None
    assert LeaseTokens.parse(OTHER).ordinals(Chunk(), both.issue(Chunk(), [5])) is not None


def test_a_key_is_long_and_there_may_be_none() -> None:
    assert not LeaseTokens.parse("")
    with pytest.raises(ValueError, match="at least 32 characters"):
        LeaseTokens.parse(f"{KEY},short")


def test_the_longest_token_fits_its_field() -> None:
    """A chunk has at most the items of a page."""
    assert len(LeaseTokens([KEY]).issue(Chunk(), range(99_997_000, 99_999_000, 2))) <= MAX_LEASE_TOKEN
