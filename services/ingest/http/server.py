"""HTTP server inside the service's process and event loop."""

import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from services.ingest.http.http_protocol import MAX_HEAD_BYTES, HttpProtocol
from shared.runtime.errors import ConfigurationError, PortTaken

log = structlog.get_logger()
_SHUTDOWN_TIMEOUT_S = 10
_KEEP_ALIVE_S = 15
_MAX_FRAME_BYTES = 4096
_BACKLOG = 512


class _HandshakeNoiseFilter(logging.Filter):
    """Drops the error that uvicorn logs for each WebSocket that is rejected with a problem document."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING and "without completing handshake" not in record.getMessage()


_HANDSHAKE_NOISE = _HandshakeNoiseFilter()


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Files of TLS of the server, in PEM; with `client_ca` it asks its clients for certificates."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class HttpServer:
    """An HTTP server that binds its port when it is created, so that a port in use is reported at once."""

    def __init__(self, app: ASGIApp, host: str, port: int, tls: ServerTls | None = None) -> None:
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                lifespan="off",
                http=HttpProtocol,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                ws="websockets-sansio",
                ws_max_size=_MAX_FRAME_BYTES,
                ws_per_message_deflate=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
                **_tls_options(tls),
            )
        )
        logging.getLogger("uvicorn.error").addFilter(_HANDSHAKE_NOISE)
        log.info("listening", host=host, port=self.port)

    @property
    def started(self) -> bool:
        """True while requests are served."""
        return self._server.started and not self._server.should_exit

    async def run(self) -> None:
        """Serve until `stop`; running requests may finish."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Ask `run` to return."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _tls_options(tls: ServerTls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    options: dict[str, Any] = {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
    if tls.client_ca is not None:
        options |= {"ssl_ca_certs": str(tls.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return options


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        wrong = PortTaken if error.errno == errno.EADDRINUSE else ConfigurationError
        raise wrong(
            f"Cannot listen on {host} port {port}: {error}. Set BATCHYARD_HTTP_HOST and BATCHYARD_HTTP_PORT."
        ) from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener
