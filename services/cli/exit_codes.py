"""Exit codes of `batchyard`."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit code for each outcome of a command; `--help` lists them."""

    OK = 0
    BATCH_FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    NOT_FOUND = 5
    DEFECT = 70
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "done",
    Exit.BATCH_FAILED: "the batch that was watched did not complete: some of its items failed, or it was cancelled; "
    "or a check of a workload failed",
    Exit.USAGE: "the command line or the input file is wrong",
    Exit.REFUSED: "Batchyard refused it",
    Exit.UNREACHABLE: "Batchyard does not answer, or could not be started",
    Exit.NOT_FOUND: "there is no such batch or workload",
    Exit.DEFECT: "a defect of batchyard itself",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
}
