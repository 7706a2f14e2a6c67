"""`python -m examples.demo [FOLDER]` runs the demo: exit code 0 only if every step went as it had to."""

import asyncio
import sys
from pathlib import Path

from rich.console import Console

from batchyard_contracts.client import ClientError
from devstack import StackError, default_home, run_interruptible
from examples.demo.demo import demo
from services.cli.errors import CliError
from services.cli.exit_codes import Exit


def main() -> int:
    """Run it; Ctrl-C stops everything in good order."""
    folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    try:
        passed = asyncio.run(run_interruptible(demo(Console(highlight=False), folder)))
    except StackError as error:
        return _failed(str(error), Exit.UNREACHABLE)
    except CliError as error:
        return _failed(f"{error.what}\n{error.next_step}", error.exit)
    except (ClientError, TimeoutError) as error:
        what = str(error) or "What had to happen did not happen in time."
        return _failed(f"{what}\nThe logs of the services are in {default_home() / 'demo' / 'log'}.", Exit.BATCH_FAILED)
    if passed is None:
        return Exit.INTERRUPTED
    return Exit.OK if passed else Exit.BATCH_FAILED


def _failed(what: str, code: Exit) -> Exit:
    sys.stderr.write(f"{what}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
