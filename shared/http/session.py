"""Opens HTTP client sessions. Their limits on the heads of answers are those of `response_head`."""

import asyncio
from functools import partial
from typing import Any

from aiohttp import ClientError, ClientResponseError, ClientSession, DummyCookieJar, TCPConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from shared.http.response_head import (
    HEAD_TOO_LARGE,
    LINE_ENDS,
    MAX_HEAD_BYTES,
    MAX_HEADER_LINES,
    end_of_head,
    is_interim,
    is_too_large,
    may_be_head,
    with_plain_framing,
)

_BAD_GATEWAY = 502


def open_session(connector: TCPConnector | None = None, **options: Any) -> ClientSession:
    """Open a session without cookies and proxies; `options` are those of `aiohttp.ClientSession`."""
    connector = connector or TCPConnector()
    # aiohttp limits each header, not all of them together; only its protocol class sees the bytes of a head.
    factory: Any = partial(_HeadReader, loop=asyncio.get_running_loop())
    connector._factory = factory  # noqa: SLF001
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        trust_env=False,
        max_line_size=MAX_HEAD_BYTES,
        max_field_size=MAX_HEAD_BYTES,
        max_headers=MAX_HEADER_LINES,
        **options,
    )


def is_head_too_large(error: ClientError | OSError) -> bool:
    """Tell whether an answer was given up because of the size of its head."""
    return isinstance(error, ClientResponseError) and error.message == HEAD_TOO_LARGE


class _HeadReader(ResponseHandler):
    """Protocol that passes on the head of each response when it is complete, and gives up on one that is too large."""

    _head: bytearray | None = None
    """Received part of the head; None while a body is received."""

    def set_response_params(self, **params: Any) -> None:
        self._head = bytearray()
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        while self._head is not None and data:
            known = len(self._head)
            self._head = (self._head + data).lstrip(LINE_ENDS)  # some servers begin with an empty line
            end = end_of_head(self._head, known)
            if is_too_large(self._head[:end]):
                self._give_up()
                return
            if end is None and may_be_head(self._head):
                return
            received = bytes(self._head)
            head, data = received[:end], received[end:] if end else b""
            interim = end is not None and is_interim(head)
            self._head = bytearray() if interim else None
            if not interim:
                super().data_received(with_plain_framing(head) + data)
                return
            super().data_received(head)
        if self._head is None:
            super().data_received(data)

    def _give_up(self) -> None:
        self._head = None
        if self.transport is not None:
            self.transport.close()
        self.set_exception(HttpProcessingError(code=_BAD_GATEWAY, message=HEAD_TOO_LARGE))
