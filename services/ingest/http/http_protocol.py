"""HTTP/1.1 connections that answer a request they cannot read with a problem document, as every other one."""

from uvicorn.protocols.http.h11_impl import H11Protocol

from services.ingest.domain.rejection import Rejection
from services.ingest.http.problems import problem_response

MAX_HEAD_BYTES = 64 * 1024
"""Largest size of the address and the headers of a request together."""
_UNREADABLE = Rejection(
    "unreadable_request",
    f"This is no HTTP/1.1 request, or its address and headers have more than {MAX_HEAD_BYTES // 1024} KB. Send long "
    "options of a batch as a JSON body.",
    400,
)


class HttpProtocol(H11Protocol):
    """Connection of uvicorn with its own answer to an unreadable request."""

    def send_400_response(self, msg: str) -> None:
        """Answer and close; `msg` is uvicorn's reason, which says less."""
        problem = problem_response(_UNREADABLE, None)
        lines = [
            b"HTTP/1.1 400 Bad Request",
            *(b": ".join(header) for header in problem.raw_headers),
            b"connection: close",
        ]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(problem.body)]))
        self.transport.close()
