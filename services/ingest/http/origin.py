"""The addresses under which the HTTP API is reached, and the origins that pages may have which send requests to it."""

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.runtime.loopback import is_loopback

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_OWN_SITES = frozenset({"same-origin", "none"})
"""Values of `Sec-Fetch-Site` of a request by a page of the same origin, or by nobody's page."""


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """Names of this server."""

    url: str | None
    """Address by which browsers reach it, if it differs from the header `Host`, such as behind a proxy."""
    hosts: frozenset[str] | None
    """Allowed names in the header `Host`, without ports; None: any."""
    is_encrypted: bool
    """True when clients reach it by https."""

    @classmethod
    def of(cls, http_host: str, url: str | None, allowed_hosts: Collection[str], *, has_tls: bool) -> "PublicAddress":
        """Return the address by the settings. Where the server listens on the machine itself only, it answers to the
        names of that, to that of its public address, and to `allowed_hosts`; elsewhere to all, unless some are
        named."""
        public = {urlsplit(url).hostname or ""} if url else set()
        hosts: frozenset[str] | None = None
        if allowed_hosts or is_loopback(http_host):
            own = _LOOPBACK_NAMES | {http_host} if is_loopback(http_host) else frozenset[str]()
            hosts = frozenset(host.lower() for host in (*own, *public, *allowed_hosts))
        return cls(url.rstrip("/") if url else None, hosts, has_tls or bool(url and url.startswith("https:")))

    @property
    def cookie_name(self) -> str:
        """Name of the cookie of a session; the prefix makes browsers bind it to this host and to https."""
        return "__Host-batchyard" if self.is_encrypted else "batchyard"

    def is_known_host(self, header: str | None) -> bool:
        """Tell whether a request may name this host."""
        return self.hosts is None or _without_port(header or "") in self.hosts

    def is_own_origin(self, origin: str | None, host: str | None) -> bool:
        """Tell whether an origin is that of this server, which a request reached under `host`."""
        if not origin:
            return False
        if self.url is not None and _origin(origin) == _origin(self.url):
            return True
        return origin.partition("://")[2] == host

    def is_foreign(self, origin: str | None, site: str | None, host: str | None) -> bool:
        """Tell whether a browser says that a page of another origin has sent the request."""
        if origin is not None and not self.is_own_origin(origin, host):
            return True
        return site is not None and site not in _OWN_SITES


def _without_port(header: str) -> str:
    name = header.rpartition("]")[0] + "]" if header.startswith("[") else header.partition(":")[0]
    return name.lower().rstrip(".")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", None, None
