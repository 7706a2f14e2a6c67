"""Action of `batchyard demo`: runs `examples/demo`, which is part of a checkout and not of an installation."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from services.cli.errors import NotFound

_CHECKOUT = Path(__file__).resolve().parents[3]


def run_demo(output: Path | None) -> NoReturn:
    """Replace this process by the demo, so that Ctrl-C reaches only the demo. Raises NotFound outside of a checkout."""
    if not (_CHECKOUT / "examples" / "demo" / "__main__.py").is_file():
        raise NotFound(
            f"The demo is not in {_CHECKOUT}.", "It comes with a checkout of the project, not with an installation."
        )
    folder = [str(output.resolve())] if output else []
    os.chdir(_CHECKOUT)
    os.execv(sys.executable, [sys.executable, "-m", "examples.demo", *folder])  # noqa: S606  # our own program
