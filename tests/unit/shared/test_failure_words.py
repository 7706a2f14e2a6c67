"""Words for connections that failed: never a name of Python, never the text of an error that may hold a key."""

import errno
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest

from shared.http.failure_words import failure_words

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError("https://a.example/?key=secret"), "no answer in time"),
        (ConnectionRefusedError("secret"), "the server refused the connection"),
        (ConnectionResetError(), "the connection broke"),
        (ssl.SSLCertVerificationError(), "the certificate of the server is not valid"),
        (ssl.SSLError("secret"), "no secure connection could be made"),
        (socket.gaierror("secret"), "the host name is not known"),
        (aiohttp.ServerDisconnectedError(), "the server closed the connection without an answer"),
        (aiohttp.ClientPayloadError("secret"), "the answer ended too early"),
        (aiohttp.ClientConnectionError("secret"), "no connection could be made"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "network is unreachable"),
        (aiohttp.ClientError("secret"), "the exchange failed"),
    ],
)
def test_a_failure_is_said_in_words(error: Exception, words: str) -> None:
    assert failure_words(error) == words


def test_no_reason_of_a_delivery_and_no_error_of_a_workload_names_an_exception() -> None:
    sources = [*(ROOT / "services/worker/workloads").rglob("*.py"), *(ROOT / "services/notifier").rglob("*.py")]
    assert [str(path) for path in sources if "type(error).__name__" in path.read_text("utf-8")] == []
