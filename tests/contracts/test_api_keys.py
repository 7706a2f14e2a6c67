"""API keys have one form, in which a typing error is noticed, and of which only the secret part is secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard_contracts.api_keys import id_of, is_api_key, mask_keys, new_api_key

KEY = new_api_key("live")


def test_a_new_key_has_its_parts() -> None:
    start, environment, rest = KEY.split("_")
    assert (start, environment, len(rest)) == ("by", "live", 46)
    assert id_of(KEY) == rest[:8]
    assert new_api_key("live") != KEY


@given(place=st.integers(8, len(KEY) - 1), other=st.sampled_from("0aZ-"))
def test_one_wrong_character_is_noticed(place: int, other: str) -> None:
    wrong = KEY[:place] + other + KEY[place + 1 :]
    assert is_api_key(wrong) == (wrong == KEY)


@pytest.mark.parametrize("environment", ["", "Live", "a_b", "x" * 13])
def test_an_environment_has_small_letters_and_digits(environment: str) -> None:
    with pytest.raises(ValueError, match="environment"):
        new_api_key(environment)


@pytest.mark.parametrize("text", [f"token {KEY}.", f"Bearer {KEY}", f"?key={KEY[:40]}"], ids=["end", "whole", "cut"])
def test_a_masked_key_keeps_its_id_alone(text: str) -> None:
    masked = mask_keys(text)
    assert KEY[16:] not in masked
    assert KEY[16:30] not in masked
    assert f"by_live_{id_of(KEY)}…" in masked
