"""Wrong rows of a file or a command as text: rows with the same fault share a line."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from services.cli.errors import WrongRow

_RANGES = 8
"""Largest number of rows, or of ranges of rows, that one line names."""


def wrong_rows_text(rows: Sequence[WrongRow], count: int, noun: str) -> str:
    """Return the text about several wrong rows, of which `count` there are in all; `noun` is `line` or `item`."""
    known = len(rows)
    wrong = f"{noun} is wrong" if count == 1 else f"{noun}s are wrong"
    head = f"{count:,} {wrong}:" if all(row.number is not None for row in rows) else f"{count:,} errors:"
    lines = [f"  {_place(numbers, noun)}{detail}" for detail, numbers in _by_detail(rows).items()]
    more = [f"  … and {count - known:,} more"] if count > known else []
    return "\n".join([head, *lines, *more])


def _by_detail(rows: Iterable[WrongRow]) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        numbers = found.setdefault(row.detail, [])
        if row.number is not None:
            numbers.append(row.number)
    return found


def _place(numbers: Sequence[int], noun: str) -> str:
    if not numbers:
        return ""
    ranges = _ranges(numbers)
    shown = [str(first) if first == last else f"{first} to {last}" for first, last in ranges[:_RANGES]]
    rest = sum(last - first + 1 for first, last in islice(ranges, _RANGES, None))
    if rest:
        shown.append(f"{rest} more")
    text = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    return f"{noun}{'' if len(numbers) == 1 else 's'} {text}: "


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return runs of consecutive numbers, as their first and last."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
