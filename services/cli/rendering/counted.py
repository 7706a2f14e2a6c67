"""A number with its noun in words."""


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun in the singular or the plural."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
