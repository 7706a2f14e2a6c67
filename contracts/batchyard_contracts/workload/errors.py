"""Errors that a handler raises.

WorkloadError
 +- Permanent     the input can never succeed: the item fails
 +- Transient     the item may succeed later: it is retried with exponential backoff, which uses up an attempt
 +- RateLimited   the destination asked for a pause: the item is retried after it, which uses up no attempt
 +- Ambiguous     a paid call may have happened: the item fails as `needs_review`, and is not repeated
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from batchyard_contracts.workload.rate_limit_headers import pause_s

Scope = Literal["item", "provider"]
_CODE = re.compile(r"[a-z][a-z0-9_.]{0,63}")


class WorkloadError(Exception):
    """Base of the errors that a handler raises.

    `code` is in lower case with underscores, and does not change for one kind of error; a code of another form becomes
    `invalid_error_code`, and is quoted in the message. `scope="provider"` states that the error affects every item of
    the destination.
    """

    def __init__(self, code: str, message: str = "", *, scope: Scope = "item") -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            takes = "An error code takes 1 to 64 lower-case letters, digits, underscores and dots, a letter first"
            message = f"{takes}, and this one is {code!r}. {message}".rstrip()
            code = "invalid_error_code"
        super().__init__(message or code)
        self.code = code
        self.message = message
        self.scope: Scope = scope


class Permanent(WorkloadError):
    """Error of an input that can never succeed."""


class Transient(WorkloadError):
    """Error of an item that may succeed later."""


class RateLimited(WorkloadError):
    """Request of the destination for a pause of `delay_s` seconds; None: it stated no duration.

    With 0 or less it asks for no wait: the item is retried like after a `Transient` error, which uses up an attempt.
    """

    def __init__(self, delay_s: float | None = None, message: str = "", *, code: str = "rate_limited") -> None:
        super().__init__(code, message, scope="provider")
        self.delay_s = delay_s

    @classmethod
    def from_headers(
        cls, headers: Mapping[str, str], message: str = "", *, code: str = "rate_limited", now: datetime | None = None
    ) -> "RateLimited":
        """Create the error from the headers of an HTTP response, with a pause of at most a day.

        `batchyard_contracts.workload.rate_limit_headers` lists the headers, such as `Retry-After` and `RateLimit`.
        """
        return cls(pause_s(headers, now or datetime.now(UTC)), message, code=code)


class Ambiguous(WorkloadError):
    """Error after which a call that must not happen twice may have happened; a person has to check."""

    def __init__(self, message: str = "") -> None:
        super().__init__("needs_review", message)
