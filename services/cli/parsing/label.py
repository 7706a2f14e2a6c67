"""Labels as options write them."""

from services.cli.errors import BadInput


def label_of(text: str) -> tuple[str, str]:
    """Return the key and the value of `KEY=VALUE`. Raises `BadInput`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise BadInput(f"{text!r} is not a label.", "Write it as KEY=VALUE.")
    return key, value
