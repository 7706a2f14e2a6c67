"""The tree of errors that Batchyard itself raises. The class's docstring is its message.

BatchyardError
 +- ConfigurationError       the environment asks for something that cannot be
 +- Rejected                 a message can never be handled: it becomes a dead letter with this reason
 |   +- HandlerFailed        because its handler has a defect, not the message
 +- PublishFailed            the broker did not take a message
 +- QueryTimeout             no service answered a question in time
 +- QueryRefused             a service answered that it cannot
"""


class BatchyardError(Exception):
    """Something that Batchyard itself found wrong."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip())


class ConfigurationError(BatchyardError):
    """The settings are wrong. Look at the variables that start with BATCHYARD_."""


class Rejected(BatchyardError):
    """This message can never be handled."""

    passing = False
    """Set: it may be taken later, so a sender that is told so keeps it, and it needs not be kept here."""


class HandlerFailed(Rejected):
    """The service failed at this message by a defect; its log says more. Report it, with the message's id."""


class PublishFailed(BatchyardError):
    """The broker did not take a message. It is safe to try again."""


class QueryTimeout(BatchyardError):
    """No service answered in time. Check that all five services are up, then ask again."""


class QueryRefused(BatchyardError):
    """The service that was asked could not answer."""
