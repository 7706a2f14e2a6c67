"""Numbers and rates are written without exponents."""

import pytest

from services.cli.rendering.number_text import number_text
from services.cli.rendering.rate_text import rate_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0123, "0.0123"),
        (12.34, "12.3"),
        (999.4, "999"),
        (999.9, "1,000"),
        (2320.0, "2,320"),
        (1e6, "1,000,000"),
    ],
)
def test_a_number_has_three_digits_or_all_before_the_point(value: float, text: str) -> None:
    assert number_text(value) == text


def test_a_high_rate_has_no_exponent() -> None:
    assert rate_text(1_000_000) == "1,000,000/s"
