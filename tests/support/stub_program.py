"""A program to be supervised: reports that it is ready on a port, and ends as its arguments say.

Arguments: the port, then any of `--deaf` (ignores SIGTERM), `--crash` (exits with code 3 before it is ready), `--child`
(starts a process that it never stops).
"""

import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Ready(BaseHTTPRequestHandler):
    """Handler that answers every request with 200."""

    def do_GET(self) -> None:
        """Answer a readiness check."""
        self.send_response(200)
        self.end_headers()


def main() -> None:
    """Serve until a signal arrives."""
    print("started with", *sys.argv[1:], flush=True)  # noqa: T201
    if "--crash" in sys.argv:
        sys.exit(3)
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready)
    if "--child" in sys.argv:
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    stop = (lambda *_: None) if "--deaf" in sys.argv else lambda *_: threading.Thread(target=server.shutdown).start()
    signal.signal(signal.SIGTERM, stop)
    server.serve_forever(poll_interval=0.02)
    server.server_close()
    print("stopped in good order", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
