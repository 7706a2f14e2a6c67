"""A real HTTP receiver of webhooks: verifies signatures, records calls, and answers as configured.

    async with WebhookReceiver(secret) as receiver:
        receiver.answer(Answer(503, headers={"Retry-After": "2"}), Answer(200))
        ...                                  # notify: [receiver.url]
        call = (await receiver.wait_for(2))[-1]

`BATCHYARD_WEBHOOK_SECRET=whsec_… python -m tests.support.webhook_receiver --port 8099 --folder calls` writes each
verified call to a JSON file until it is stopped, and answers 400 to a call that does not verify.
"""

import argparse
import asyncio
import binascii
import json
import os
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.patience import PATIENCE_S

WAIT_S = PATIENCE_S


@dataclass(frozen=True, slots=True)
class Call:
    """One received POST. `verified` says whether its signature was right."""

    path: str
    headers: dict[str, str]
    body: bytes
    verified: bool
    at: float
    """Monotonic time of arrival."""

    @property
    def id(self) -> str:
        """The `webhook-id`."""
        return self.headers["webhook-id"]

    @property
    def payload(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """Response to send after `hold` is set and `delay_s` has passed: the body whole, or in parts."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    hold: asyncio.Event | None = None
    parts: AsyncIterator[bytes] | None = None
    """Sent in place of `body`, as long as the client reads."""
    hang_up: bool = False
    """Close the connection in place of an answer."""


class WebhookReceiver:
    """HTTP server that listens from `async with` to its end."""

    def __init__(
        self, secret: str, port: int = 0, folder: Path | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.calls: list[Call] = []
        self._webhook = Webhook(secret)
        self._port, self._folder, self._tls = port, folder, tls
        self._answers: deque[Answer] = deque()
        self._otherwise = Answer()
        self._changed = asyncio.Condition()
        app = web.Application(client_max_size=1024 * 1024)
        app.router.add_post("/{tail:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    @property
    def port(self) -> int:
        """Port on which the receiver listens."""
        port: int = self._runner.addresses[0][1]
        return port

    @property
    def url(self) -> str:
        """URL to be named in `notify`."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/hook"

    def answer(self, *answers: Answer, otherwise: Answer | None = None) -> None:
        """Set the responses to the next calls; all others get `otherwise` (204 unless changed)."""
        self._answers.extend(answers)
        self._otherwise = otherwise or self._otherwise

    async def wait_for(self, number: int, within_s: float = WAIT_S) -> list[Call]:
        """Wait for this number of calls and return all."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: len(self.calls) >= number)
        return self.calls

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for answer in (*self._answers, self._otherwise):
            if answer.hold is not None:
                answer.hold.set()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.path_qs, headers, body, self._verify(body, headers), time.monotonic())
        if self._folder is not None and call.verified:
            file = self._folder / f"{len(self.calls) + 1:04}.json"
            kept = {"path": call.path, "headers": call.headers, "body": call.payload}
            await asyncio.to_thread(file.write_text, json.dumps(kept, indent=2), "utf-8")
        answer = self._answers.popleft() if self._answers else self._otherwise
        async with self._changed:
            self.calls.append(call)
            self._changed.notify_all()
        if not call.verified:
            return web.Response(status=400, text="The signature does not verify.")
        return await self._respond(request, answer)

    async def _respond(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        if answer.hold is not None:
            await answer.hold.wait()
        await asyncio.sleep(answer.delay_s)
        if answer.hang_up and request.transport is not None:
            request.transport.abort()
        if answer.parts is None:
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        await response.prepare(request)
        async for part in answer.parts:
            await response.write(part)
        return response

    def _verify(self, body: bytes, headers: dict[str, str]) -> bool:
        try:
            self._webhook.verify(body, headers)
        except (WebhookVerificationError, binascii.Error, ValueError):
            return False
        return True


async def _serve(secret: str, port: int, folder: Path) -> None:

    async with WebhookReceiver(secret, port, folder) as receiver:
        print(f"receiving webhooks at {receiver.url} in {folder}", flush=True)  # noqa: T201  its caller waits for this line
        await asyncio.Event().wait()


def main() -> None:
    """Receive webhooks until stopped."""
    parser = argparse.ArgumentParser(description="Receives signed webhooks on loopback and keeps them as files.")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--folder", type=Path, required=True, help="where the .json files go")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    secret = os.environ.get("BATCHYARD_WEBHOOK_SECRET")
    if not secret:
        parser.error("set BATCHYARD_WEBHOOK_SECRET to the secret that the sender signs with")
    try:
        asyncio.run(_serve(secret, arguments.port, arguments.folder))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
