"""Errors of the client; the package's docstring has the tree. The docstring of a class is its default message."""

from collections.abc import Sequence

from batchyard_contracts.v1.commands import InputError


class ClientError(Exception):
    """Base of the errors of the client."""

    def __init__(self, detail: str = "") -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        super().__init__(self.detail)


class NotConnected(ClientError):
    """RabbitMQ cannot be reached. Check the URL, its virtual host, and that the broker is up; then try again."""


class BrokerRefused(ClientError):
    """RabbitMQ denies access. Check user, password, virtual host, permissions, and that the owner is the user."""


class NoReply(ClientError):
    """No service replied in time. Sending the command again under the same id or idempotency key is safe."""


class BatchRefused(ClientError):
    """A service rejected the command, which had no effect. `line` is the number of the first invalid item, from 1;
    `errors` lists the wrong items and fields, and `error_count` counts those that it has no room for, too."""

    retry_after_s: float | None
    """Seconds after which the same command may be accepted; set when too many items were waiting."""

    def __init__(
        self,
        code: str,
        detail: str,
        line: int | None = None,
        status: int = 400,
        retry_after_s: float | None = None,
        errors: Sequence[InputError] = (),
        error_count: int = 0,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.line = line
        self.status = status
        self.retry_after_s = retry_after_s
        self.errors = tuple(errors)
        self.error_count = error_count


class InvalidItem(ClientError):
    """An item cannot be sent. `line` is its number, counted from 1."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(f"Item {line}: {detail}")
        self.line = line


class UnknownBatch(ClientError):
    """The batch does not exist, or another owner has it."""


class QueryRefused(ClientError):
    """A service could not answer the query."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NotFinished(ClientError, TimeoutError):
    """The batch has not ended yet. Waiting again is safe."""
