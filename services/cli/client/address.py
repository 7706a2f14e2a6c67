"""Address of Batchyard: BATCHYARD_URL, else that of the local cluster of this checkout, else port 8000."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from services.cli.errors import BadInput

DEFAULT_URL = "http://127.0.0.1:8000"
_CHECKOUT = Path(__file__).resolve().parents[3]
ADDRESS_FILE = "address"
"""In the home of the local stack, written while `batchyard up` runs: one line, the address."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of the HTTP API, without a slash at its end, and the bearer token if one is needed."""

    url: str
    token: str | None = field(default=None, repr=False)


def find_address(environment: Mapping[str, str], home: Path, option: str | None = None) -> Address:
    """Take the first of: the option, BATCHYARD_URL, the file that the local cluster keeps in `home`, the default."""
    url = option or environment.get("BATCHYARD_URL") or _running(home) or DEFAULT_URL
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadInput(f"{url!r} is not the address of an HTTP server.", "Write it like http://127.0.0.1:8000")
    return Address(url.rstrip("/"), environment.get("BATCHYARD_TOKEN") or None)


def home(environment: Mapping[str, str]) -> Path:
    """The folder of the local stack: BATCHYARD_HOME, or `.batchyard` in the checkout."""
    return Path(environment.get("BATCHYARD_HOME") or _CHECKOUT / ".batchyard")


def _running(home: Path) -> str | None:
    file = home / ADDRESS_FILE
    return file.read_text("utf-8").strip() if file.is_file() else None
