"""Documents of the server for the check of a submission."""

import msgspec


class Misfit(msgspec.Struct, frozen=True):
    """Reason against an item, or against the batch."""

    detail: str
    line: int | None = None


class CheckedDestination(msgspec.Struct, frozen=True):
    """Items that go to one destination."""

    partition: str
    items: int


class SubmissionCheck(msgspec.Struct, frozen=True):
    """Result of the check of a submission."""

    acceptable: bool
    items: int
    valid: int
    duplicates: int = 0
    whole: bool = True
    problems: list[Misfit] = []
    errors: list[Misfit] = []
    error_count: int = 0
    unknown_fields: dict[str, int] = {}
    destinations: list[CheckedDestination] = []
