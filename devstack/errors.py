"""Errors of the local stack; every message says what to do next."""

from shared.runtime.errors import BatchyardError


class StackError(BatchyardError):
    """The local stack failed. See the logs in .batchyard/log."""


class ServerUnavailable(StackError):
    """A required server was not found or does not answer."""


class ProgramFailed(StackError):
    """A supervised program did not become ready. See its log."""


class AlreadyRunning(StackError):
    """Another process already runs these programs. Stop it first."""
