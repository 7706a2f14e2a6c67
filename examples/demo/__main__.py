"""`python -m examples.demo [FOLDER]` runs the demo: exit code 0 only if every step went as it had to."""

import asyncio
import sys
from pathlib import Path

from rich.console import Console

from examples.demo.demo import demo
from services.cli.errors import CliError
from services.cli.exits import Exit
from shared.stack import StackError, interruptible


def main() -> int:
    """Run it; Ctrl-C stops everything in good order."""
    folder = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    try:
        passed = asyncio.run(interruptible(demo(Console(highlight=False), folder)))
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return Exit.UNREACHABLE
    except CliError as error:
        sys.stderr.write(f"{error.what}\n{error.next_step}\n")
        return error.exit
    if passed is None:
        return Exit.INTERRUPTED
    return Exit.OK if passed else Exit.BATCH_FAILED


if __name__ == "__main__":
    sys.exit(main())
