"""Serves the application inside the service's process: its signals, its loop, its end."""

import contextlib
import logging
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp

from shared.runtime.errors import ConfigurationError

log = structlog.get_logger()
_GRACE_S = 10
_KEEP_ALIVE_S = 15
_LARGEST_FRAME = 4096
_BACKLOG = 512


class _Chatter(logging.Filter):
    """uvicorn reports each WebSocket that is refused with a problem document as an error of the application."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING and "without completing handshake" not in record.getMessage()


_CHATTER = _Chatter()


class HttpServer:
    """An HTTP server that listens from the start, so that a port that is taken is known at once."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
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
                ws="websockets-sansio",
                ws_max_size=_LARGEST_FRAME,
                ws_per_message_deflate=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )
        logging.getLogger("uvicorn.error").addFilter(_CHATTER)
        log.info("listening", host=host, port=self.port)

    @property
    def started(self) -> bool:
        """Whether requests are answered."""
        return self._server.started and not self._server.should_exit

    async def run(self) -> None:
        """Serve until `stop`, then let running requests end."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Ask `run` to return."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"Cannot listen on {host} port {port}: {error}. Set BATCHYARD_HTTP_HOST and BATCHYARD_HTTP_PORT."
        ) from error
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener
