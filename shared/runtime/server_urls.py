"""Addresses of servers: TLS parameters that settings add to them, and passwords that would travel in clear.

The drivers read the parameters from the query of an address: aiormq `cafile`, asyncpg `sslrootcert`, redis
`ssl_ca_certs`, each with a client certificate and its key.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode

from shared.runtime.loopback import is_loopback

_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://(?:(?P<account>[^/?#]*)@)?(?P<hosts>[^/?#@]*)(?P<rest>[^?]*)(?:\?(?P<query>.*))?"
)
_PARAMETERS = {
    "amqps": ("cafile", "certfile", "keyfile"),
    "rediss": ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"),
    "postgresql": ("sslrootcert", "sslcert", "sslkey"),
}
_POSTGRES = {"postgres", "postgresql"}
_ENCRYPTED_MODES = {"require", "verify-ca", "verify-full"}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files in PEM: certificates of authorities, and the certificate of a client with its key."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def context(self) -> ssl.SSLContext:
        """Return what a client needs to check a server, and to show its certificate."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context

    @property
    def are_given(self) -> bool:
        """True when at least one file is named."""
        return bool(self.ca or self.certificate)


def with_tls(url: str, files: TlsFiles) -> str:
    """Return an address with the parameters for these files, where it is one of TLS; those in the address stay.

    One of PostgreSQL without a mode becomes one that is encrypted and whose certificate is checked (`verify-full`).
    """
    parts = _parts(url)
    if parts is None or not files.are_given:
        return url
    scheme, query = parts["scheme"], dict(parse_qsl(parts["query"] or "", keep_blank_values=True))
    if scheme in _POSTGRES:
        scheme = "postgresql"
        if query.setdefault("sslmode", "verify-full") not in _ENCRYPTED_MODES:
            return url
    names = _PARAMETERS.get(scheme)
    if names is None:
        return url
    values = zip(names, (files.ca, files.certificate, files.key), strict=True)
    query = {name: value for name, value in values if value} | query
    return f"{url.partition('?')[0]}?{urlencode(query, quote_via=quote, safe='/')}"


def hosts_reached_in_clear(url: str) -> list[str]:
    """Return the hosts of an address to which its password would travel unencrypted over a network."""
    parts = _parts(url)
    if parts is None:
        return []
    query = dict(parse_qsl(parts["query"] or "", keep_blank_values=True))
    if not ((parts["account"] or "").partition(":")[2] or query.get("password")):
        return []
    if parts["scheme"] in _PARAMETERS and parts["scheme"] not in _POSTGRES:
        return []
    if parts["scheme"] in _POSTGRES and query.get("sslmode") in _ENCRYPTED_MODES:
        return []
    hosts = [_host(one) for one in (parts["hosts"] or query.get("host", "")).split(",")]
    return [host for host in hosts if host and not host.startswith("/") and not is_loopback(host)]


def _parts(url: str) -> Mapping[str, str] | None:
    found = _URL.fullmatch(url)
    return None if found is None else found.groupdict()


def _host(text: str) -> str:
    text = unquote(text.strip())
    return text[: text.find("]") + 1] if text.startswith("[") else text.partition(":")[0]
