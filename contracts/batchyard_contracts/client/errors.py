"""What can go wrong for a client; the tree is drawn in the package. The class's docstring is its message."""


class ClientError(Exception):
    """Something that the client of Batchyard found wrong."""

    def __init__(self, detail: str = "") -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        super().__init__(self.detail)


class NotConnected(ClientError):
    """RabbitMQ was not reached. Check the URL, its virtual host, and that the broker is up; then try again."""


class BrokerRefused(ClientError):
    """RabbitMQ does not allow it. Check user, password, virtual host, permissions, and that an owner is the user."""


class NoAnswer(ClientError):
    """No service answered in time. Sending the same again under the same id or idempotency key is safe."""


class BatchRefused(ClientError):
    """The command was refused whole; nothing of it remains. `line` is the first item at fault, counted from 1."""

    retry_after_s: float | None
    """Set when the same command may be taken after so many seconds: there was no room for it."""

    def __init__(
        self, code: str, detail: str, line: int | None = None, status: int = 400, retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.line = line
        self.status = status
        self.retry_after_s = retry_after_s


class BadItem(ClientError):
    """An item that cannot be sent. `line` counts the items from 1."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(f"Item {line}: {detail}")
        self.line = line


class UnknownBatch(ClientError):
    """There is no such batch, or it belongs to somebody else."""


class QuestionRefused(ClientError):
    """A service was asked and could not answer."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NotFinished(ClientError, TimeoutError):
    """The batch has not ended yet. Waiting again is safe."""
