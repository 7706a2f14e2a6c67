"""Owners share places in memory."""

import pytest

from shared.messaging.owner_places import OwnerPlaces


def fill(places: OwnerPlaces, owner: str, size: int = 1) -> int:
    """Take all places that an owner gets; return their number."""
    count = 0
    while places.take(owner, size):
        count += 1
    return count


def test_one_owner_alone_gets_half_of_the_places() -> None:
    assert fill(OwnerPlaces(64, 10**6, 16), "a") == 32


@pytest.mark.parametrize("owners", [1, 2, 3, 7, 15])
def test_places_are_left_for_the_owner_who_comes_next(owners: int) -> None:
    places = OwnerPlaces(64, 10**6, 16)
    for number in range(owners):
        fill(places, f"o{number}")
    assert places.take("next", 1)


def test_a_large_message_fits_when_its_owner_has_no_other() -> None:
    places = OwnerPlaces(64, 100, 16)
    assert places.take("a", 90)
    assert not places.take("a", 1)
    assert places.take("b", 1)


def test_the_bytes_of_others_keep_no_owner_out() -> None:
    places = OwnerPlaces(64, 100, 16)
    for owner in ("a", "b", "c"):
        assert places.take(owner, 60)
    assert places.take("next", 1)
    assert not places.take("next", 1)


def test_places_that_are_given_back_are_there_again() -> None:
    places = OwnerPlaces(8, 100, 0)
    for _ in range(3):
        assert fill(places, "a", 2) == 4
        for _ in range(4):
            places.release("a", 2)


def test_owners_without_messages_take_no_memory() -> None:
    places = OwnerPlaces(1, 100, 0)
    assert places.take("full", 1)
    for number in range(1000):
        assert not places.take(f"o{number}", 1)
    places.release("full", 1)
    assert not places._held
    assert not places._sizes
