"""Runs a block of Python that may await at its top level: `python run_python.py FILE`."""

import ast
import asyncio
import inspect
import sys
from pathlib import Path


def main() -> None:
    """Run the file."""
    file = Path(sys.argv[1])
    code = compile(file.read_text("utf-8"), str(file), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, {"__name__": "__main__"})  # the documentation's own code
    if inspect.iscoroutine(result):
        asyncio.run(result)


if __name__ == "__main__":
    main()
