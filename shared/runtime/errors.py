"""The tree of errors that Batchyard itself raises. The class's docstring is its default message.

BatchyardError
 +- ConfigurationError       the settings are wrong
 |   +- PortTaken            another program listens on the port that the settings name
 +- MessageRejected          a message is refused: its sender is told the reason, or it becomes a dead letter
 |   +- HandlerFailed        its handler has a defect; the message may be valid
 |   +- SenderThrottled      its sender has sent too many invalid ones; the message was not read
 +- PublishFailed            the broker did not accept a message
 |   +- PublishRefused       the broker is there and refused this message: no queue takes it, or one is full
 +- QueryTimeout             no service replied to a query in time
 +- QueryRefused             a service replied with an error
"""


class BatchyardError(Exception):
    """Batchyard reported an error."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip())


class ConfigurationError(BatchyardError):
    """The settings are wrong. Look at the variables that start with BATCHYARD_."""


class PortTaken(ConfigurationError):
    """Another program listens on the port. Name another one."""


class MessageRejected(BatchyardError):
    """This message can never be handled."""

    is_retryable = False
    """True: the same message may be accepted later, so it does not count as invalid."""


class HandlerFailed(MessageRejected):
    """The service failed on this message because of a defect. Its log has the details: report them."""


class NotPermitted(MessageRejected):
    """A client has no right to send this message, or to ask this question."""


class SenderThrottled(MessageRejected):
    """The sender has sent too many invalid messages, so that this one was not read."""

    is_retryable = True

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(
            "Too many of your last messages were invalid, so this one was not read. Correct the program that sends "
            f"them, and send this one again in {retry_after_s:.0f} s."
        )
        self.retry_after_s = retry_after_s


class PublishFailed(BatchyardError):
    """The broker did not accept a message. It is safe to try again."""


class PublishRefused(PublishFailed):
    """The broker refused a message: no queue takes it, or one is full. Others may be accepted."""


class QueryTimeout(BatchyardError):
    """No service replied in time. Check that all five services are up, then try again."""


class QueryRefused(BatchyardError):
    """The service could not answer the query."""
