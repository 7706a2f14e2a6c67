"""The address and credentials of the SMTP relay, read from one URL."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from shared.runtime.loopback import is_loopback

_PORTS = {"smtp": 25, "smtps": 465}
_WRONG = "must look like smtp://host:25, smtp://user:password@host:587 or smtps://user:password@host:465"


@dataclass(frozen=True, slots=True)
class SmtpRelay:
    """Address and credentials of an SMTP server.

    `tls` means TLS from the first byte (smtps); otherwise STARTTLS is used if the server offers it. A password is sent
    without TLS to this machine alone.
    """

    host: str
    port: int
    tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def requires_starttls(self) -> bool:
        """True if the server has to offer STARTTLS, because a password would be sent in clear over a network."""
        return self.username is not None and not self.tls and not is_loopback(self.host)


def parse_relay(url: str) -> SmtpRelay:
    """Read the URL; raise `ValueError`, which does not contain the URL, if it is invalid."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in _PORTS or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(_WRONG)
    if (parts.username is None) != (parts.password is None):
        raise ValueError(_WRONG)
    return SmtpRelay(
        host,
        port or _PORTS[parts.scheme],
        parts.scheme == "smtps",
        unquote(parts.username) if parts.username is not None else None,
        unquote(parts.password) if parts.password is not None else None,
    )
