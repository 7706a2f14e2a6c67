"""Address of Batchyard: the one that is given, else that of the local cluster of this folder. There is no other guess,
because any program may listen on a usual port."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from services.cli.client.cluster_file import read_cluster
from services.cli.client.variables import CLEAR, HOME, OPERATOR_KEY, TOKEN, URL
from services.cli.errors import BadInput, NotReachable
from shared.runtime.loopback import is_loopback

_CHECKOUT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Address:
    """The address of the HTTP API, without a slash at its end, and the API key that belongs to it."""

    url: str
    token: str | None = field(default=None, repr=False)
    is_in_clear: bool = False
    """True when the token travels unencrypted to another machine, because the environment allows it."""
    token_is_of: str | None = None
    """Address that BATCHYARD_TOKEN belongs to, if it is another one, so that the token is not sent."""


def find_address(
    environment: Mapping[str, str], home: Path, option: str | None = None, *, as_operator: bool = False
) -> Address:
    """Take the first of: the option, BATCHYARD_URL, the local cluster that runs in `home`. Raises CliError.

    The key is BATCHYARD_TOKEN, else that of the local cluster if it is the one. `as_operator`: the operator's key, if
    there is one.
    """
    named = environment.get(URL.name) or None
    url = option or named
    running = read_cluster(home)
    if url is None:
        if running is None:
            raise NotReachable(
                f"No address of Batchyard is given, and no local cluster runs in {home}.",
                "Start one with `batchyard up --detach`, or give an address: --url, or BATCHYARD_URL.",
            )
        url = running.url
    parts = _split(url)
    if token := _key(environment, as_operator=as_operator):
        if named and _origin(_split(named)) != _origin(parts):
            return Address(url.rstrip("/"), token_is_of=named)
    elif running is not None and _origin(_split(running.url)) == _origin(parts):
        token = _key(running.environment, as_operator=as_operator)
    if token and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        _check_clear(url, environment)
        return Address(url.rstrip("/"), token, is_in_clear=True)
    return Address(url.rstrip("/"), token)


def home(environment: Mapping[str, str]) -> Path:
    """The folder of the local stack: BATCHYARD_HOME, or `.batchyard` in the checkout."""
    return Path(environment.get(HOME.name) or _CHECKOUT / ".batchyard")


def _key(environment: Mapping[str, str], *, as_operator: bool) -> str | None:
    operator_key = environment.get(OPERATOR_KEY.name) if as_operator else None
    return operator_key or environment.get(TOKEN.name) or None


def _check_clear(url: str, environment: Mapping[str, str]) -> None:
    if environment.get(CLEAR.name, "").lower() not in {"true", "1", "yes", "on"}:
        raise BadInput(f"The API key would travel unencrypted to {url}.", f"Use https://, or set {CLEAR.name}=true.")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise BadInput(f"{url!r} is not the address of an HTTP server.", "Write it like http://127.0.0.1:8000")
    return parts


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
