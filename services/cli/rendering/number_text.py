"""Numbers with the digits that matter."""


def number_text(value: float) -> str:
    """Return a number with three digits, or all of those before the point if they are more: 0.0123, 12.3, 1,234."""
    rounded = f"{value:.3g}"
    return f"{value:,.0f}" if abs(float(rounded)) >= 1000 else rounded
