"""Words for connections and requests that failed."""

import asyncio
import socket
import ssl

import aiohttp

_WORDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    ((TimeoutError, asyncio.TimeoutError), "no answer in time"),
    (ssl.SSLCertVerificationError, "the certificate of the server is not valid"),
    (aiohttp.ClientConnectorCertificateError, "the certificate of the server is not valid"),
    ((ssl.SSLError, aiohttp.ClientSSLError), "no secure connection could be made"),
    ((socket.gaierror, aiohttp.ClientConnectorDNSError), "the host name is not known"),
    (ConnectionRefusedError, "the server refused the connection"),
    ((ConnectionResetError, BrokenPipeError, ConnectionAbortedError), "the connection broke"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "the answer ended too early"),
    (aiohttp.TooManyRedirects, "too many redirects"),
    (aiohttp.InvalidURL, "the address is not valid"),
    (aiohttp.ClientResponseError, "the answer is not valid HTTP"),
)


def failure_words(error: BaseException) -> str:
    """Return why a request failed. The text of an error may hold an address, and with it a key: it is not quoted."""
    for one in (getattr(error, "os_error", None), error):
        for kind, words in _WORDS:
            if isinstance(one, kind):
                return words
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return "no connection could be made" if isinstance(error, aiohttp.ClientConnectionError) else "the exchange failed"
