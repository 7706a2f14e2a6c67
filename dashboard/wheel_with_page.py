"""A step of the wheel's build that fails when the dashboard was not built: a wheel without it would serve no page."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = Path("services/ingest/http/assets/index.html")


class WheelWithPage(BuildHookInterface[Any]):
    """Checks the files before they are packed. An editable install reads the folder itself, and may come before it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise an error if the page is missing."""
        del build_data
        if version != "editable" and not (Path(self.root) / PAGE).is_file():
            raise FileNotFoundError(f"{PAGE} is missing. Build it with `make dashboard`, or `.ci/dashboard`.")
