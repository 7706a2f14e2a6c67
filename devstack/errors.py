"""Errors of the local stack; every message says what to do next."""

from shared.runtime.errors import BatchyardError


class StackError(BatchyardError):
    """The local stack failed. See the logs in .batchyard/log."""


class ServerUnavailable(StackError):
    """A required server was not found or does not answer."""


class ProgramFailed(StackError):
    """A supervised program did not become ready. See its log."""

    def __init__(self, detail: str = "", *, final_code: int | None = None) -> None:
        super().__init__(detail)
        self.final_code = final_code
        """Exit code that no restart mends; None: the program failed in another way."""


class AlreadyRunning(StackError):
    """Another process already runs these programs. Stop it first."""
