"""Errors of the HTTP client; the package's docstring has the tree. The docstring of a class is its default message."""

from uuid import UUID

from pydantic import BaseModel

from batchyard_contracts.v1.commands import InputError


class HttpClientError(Exception):
    """Base of the errors of the HTTP client."""

    def __init__(self, detail: str = "") -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        super().__init__(self.detail)


class NotReachable(HttpClientError):
    """The server does not answer. Check the address, and that it is up; then try again."""


class BatchUnfinished(HttpClientError, TimeoutError):
    """The batch has not finished yet. Waiting again is safe."""


class Problem(BaseModel):
    """Problem document (RFC 9457) of the server."""

    status: int
    detail: str = ""
    code: str = "unknown"
    line: int | None = None
    batch_id: UUID | None = None
    items: int | None = None
    errors: list[InputError] = []
    error_count: int = 0


class HttpProblem(HttpClientError):
    """The server refused the request. `code` is stable for the same cause, `line` the first invalid item, from 1;
    `errors` lists the wrong items and fields, and `error_count` counts those that it has no room for, too."""

    def __init__(self, problem: Problem, retry_after_s: float | None) -> None:
        super().__init__(problem.detail or f"HTTP {problem.status}")
        self.status = problem.status
        self.code = problem.code
        self.line = problem.line
        self.batch_id = problem.batch_id
        self.items = problem.items
        self.errors = tuple(problem.errors)
        self.error_count = problem.error_count
        self.retry_after_s = retry_after_s
        """Seconds after which the same request may succeed; None unless the server names a time."""
