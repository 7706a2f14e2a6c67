"""Entry point of the command `batchyard`: every error becomes a message and an exit code."""

import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from services.cli.app import app
from services.cli.errors import CliError, NotStarted
from services.cli.exit_codes import Exit


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; always ends by `SystemExit`."""
    try:
        app(args=argv, prog_name="batchyard")
    except CliError as error:
        _end(error)
    except Exception as error:  # noqa: BLE001  # the exit code of a crash must not look like that of a failed batch
        if isinstance(error, ModuleNotFoundError) and error.name == "devstack":
            _end(NotStarted("The local stack is not installed here.", "It comes with a checkout of the project."))
        traceback.print_exc()
        sys.exit(Exit.DEFECT)


def _end(error: CliError) -> NoReturn:
    lines = [f"batchyard: {error.what}", *([error.next_step] if error.next_step else [])]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.exit(error.exit)


if __name__ == "__main__":
    main()
