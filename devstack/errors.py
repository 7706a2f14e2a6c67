"""What can go wrong with the local stack; every message says what to do next."""

from shared.runtime.errors import BatchyardError


class StackError(BatchyardError):
    """The local stack could not do what was asked. Look into .batchyard/log."""


class ServerUnavailable(StackError):
    """A server that is needed was not found or does not answer."""


class ProgramFailed(StackError):
    """A supervised program did not become ready. Look into its log."""


class AlreadyRunning(StackError):
    """Another process already runs these programs. Stop it first."""
