"""Errors that end a command. Each has a message, a next step, and an exit code.

CliError
 +- BadInput        the command line or a file is wrong
 +- Refused         the server refused the request
 +- NotFound        the server knows no such batch or workload
 +- NotReachable    nothing answers at the address, or a service behind it is unavailable
 +- NotStarted      the local servers or services could not be started
"""

from dataclasses import dataclass
from typing import ClassVar

from services.cli.exit_codes import Exit


@dataclass(frozen=True, slots=True)
class WrongRow:
    """Row, or field, that is at fault. `number` counts rows from 1; None: a field of the request."""

    number: int | None
    detail: str


class CliError(Exception):
    """Error that is printed for the user instead of a traceback."""

    code: ClassVar[Exit] = Exit.DEFECT

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(what)
        self.exit = self.code
        self.what = what
        self.next_step = next_step
        self.retry_after_s: float | None = None
        """Set when the same request may succeed later."""


class BadInput(CliError):
    """The command line or a file is wrong."""

    code = Exit.USAGE


class Refused(CliError):
    """The server refused the request. `line` is the first item at fault, counted from 1 within the request.

    `batch_id` and `items` tell of an upload that stopped midway: the batch that stays open, and how much it has.
    `wrong_rows` are the rows at fault, if there are several, of `wrong_count` in all.
    """

    code = Exit.REFUSED

    def __init__(self, what: str, next_step: str = "", *, line: int | None = None) -> None:
        super().__init__(what, next_step)
        self.line = line
        self.batch_id: str | None = None
        self.items = 0
        self.wrong_rows: list[WrongRow] = []
        self.wrong_count = 0


class NotFound(CliError):
    """The server knows no such batch or workload."""

    code = Exit.NOT_FOUND


class NotReachable(CliError):
    """Nothing answers at the address, or a service behind it is unavailable."""

    code = Exit.UNREACHABLE


class NotStarted(CliError):
    """The local servers or services could not be started."""

    code = Exit.UNREACHABLE
