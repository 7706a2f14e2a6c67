"""`batchyard demo` runs `examples/demo`, which is part of a checkout and not of an installation."""

import subprocess
import sys
from pathlib import Path

from services.cli.errors import NotFound

_CHECKOUT = Path(__file__).resolve().parents[2]


def run_demo(output: Path | None) -> int:
    """Run the demo as a process of its own and give its exit code. Raises NotFound outside of a checkout."""
    if not (_CHECKOUT / "examples" / "demo" / "__main__.py").is_file():
        raise NotFound(
            f"The demo is not in {_CHECKOUT}.", "It comes with a checkout of the project, not with an installation."
        )
    folder = [str(output.resolve())] if output else []
    argv = [sys.executable, "-m", "examples.demo", *folder]
    return subprocess.run(argv, cwd=_CHECKOUT, check=False).returncode  # noqa: S603  # no shell, our own program
