"""Generator of `contracts/openapi.json`: `python -m services.ingest.http.openapi_file [--check]`.

With `--check` it writes nothing, and exits with 1 when the file differs from what the routes describe.
"""

import json
import sys
from pathlib import Path
from typing import Any, cast

from batchyard_contracts.schema.generated_file import keep_current
from services.ingest.http.access import Access
from services.ingest.http.api import build_app
from services.ingest.http.identity import Identity
from services.ingest.http.origin import PublicAddress

FILE = Path(__file__).parents[3] / "contracts" / "openapi.json"


def described_app() -> Any:
    """Return the application without the service behind it: its routes are described, and its documents served."""
    nothing = cast("Any", None)
    identity = Identity(
        Access(nothing, PublicAddress(None, None, is_encrypted=True), nothing, nothing), nothing, nothing
    )
    return build_app(
        nothing,
        identity,
        nothing,
        nothing,
        nothing,
        nothing,
        nothing,
        nothing,
        nothing,
        nothing,
        nothing,
        nothing,
        nothing,
        nothing,
        max_websockets=1,
        amqp_url="",
        clock=nothing,
    )


def document() -> dict[str, Any]:
    """Return the OpenAPI description."""
    return cast("dict[str, Any]", described_app().openapi())


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit code."""
    return keep_current(
        FILE,
        json.dumps(document(), indent=2, ensure_ascii=False) + "\n",
        "services.ingest.http.openapi_file",
        arguments,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
