"""Names of items on the command line: a number is an ordinal, any other text a custom id."""

from collections.abc import Iterable

_CUSTOM = "custom:"


def split_names(names: Iterable[str]) -> dict[str, list[int] | list[str]]:
    """Return the fields `ordinals` and `custom_ids` of a request. A custom id of digits is written as `custom:7`."""
    ordinals: list[int] = []
    custom_ids: list[str] = []
    for name in names:
        if name.isascii() and name.isdigit():
            ordinals.append(int(name))
        else:
            custom_ids.append(name.removeprefix(_CUSTOM))
    return {"ordinals": ordinals, "custom_ids": custom_ids}
