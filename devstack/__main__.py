"""`python -m devstack down|erase`: stops what runs for this checkout; `erase` deletes its data as well."""

import asyncio
import sys

from devstack.errors import StackError
from devstack.shutdown import erase, shut_down
from devstack.stack import default_home

_COMMANDS = {"down": shut_down, "erase": erase}


def main() -> None:
    """Run the command that is named by the only argument."""
    if len(sys.argv) != 2 or sys.argv[1] not in _COMMANDS:
        sys.exit("Use: python -m devstack down|erase")
    try:
        asyncio.run(_COMMANDS[sys.argv[1]](default_home(), _say))
    except StackError as error:
        sys.exit(str(error))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
