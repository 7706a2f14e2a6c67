"""A real SMTP server on loopback that stores mail instead of sending it, and can be configured to refuse.

    async with Mailbox() as mailbox:
        ...                                  # BATCHYARD_SMTP_URL=mailbox.url
        letter = (await mailbox.wait_for(1))[0]

`python -m tests.support.mailbox --port 2525 --folder mails` writes each message to an .eml file until it is stopped.
"""

import argparse
import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from types import TracebackType
from typing import Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.patience import PATIENCE_S

WAIT_S = PATIENCE_S


@dataclass(frozen=True, slots=True)
class Letter:
    """One received message: the envelope, the bytes, and the parsed message."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    message: EmailMessage
    user: str | None = None
    tls: bool = False


class Mailbox:
    """SMTP server that listens from `async with` to its end; `letters` are the accepted messages."""

    def __init__(
        self,
        port: int = 0,
        folder: Path | None = None,
        *,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        smtputf8: bool = True,
        goodbye: asyncio.Event | None = None,
    ) -> None:
        self.letters: list[Letter] = []
        self.recipients_asked: list[str] = []
        """Every recipient named by RCPT, also the refused ones."""
        self._host, self._port, self._folder = host, port, folder
        self._tls, self._login, self._smtputf8, self._goodbye = tls, login, smtputf8, goodbye
        self._replies: deque[str] = deque()
        self._recipient_replies: deque[str] = deque()
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Port on which the server listens."""
        if self._server is None:
            raise RuntimeError("The mailbox is closed: use it as `async with Mailbox() as mailbox`.")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Value for BATCHYARD_SMTP_URL."""
        user = f"{self._login[0]}:{self._login[1]}@" if self._login else ""
        return f"smtp://{user}{self._host}:{self.port}"

    def answer(self, *replies: str) -> None:
        """Set the replies to the next messages, for instance `451 try later`; later messages are accepted."""
        self._replies.extend(replies)

    def answer_recipient(self, *replies: str) -> None:
        """Set the replies to the next recipients, for instance `550 no such user`."""
        self._recipient_replies.extend(replies)

    async def wait_for(self, number: int) -> list[Letter]:
        """Wait for this number of messages and return all."""
        return await self._until(lambda: len(self.letters) >= number)

    async def wait_for_recipients(self, number: int) -> list[Letter]:
        """Wait until this many recipients were named, refused ones included; return the messages."""
        return await self._until(lambda: len(self.recipients_asked) >= number)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    # What follows is called by aiosmtpd, by these names.

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Record the recipient; refuse it if configured to."""
        async with self._changed:
            self.recipients_asked.append(address)
            self._changed.notify_all()
        if self._recipient_replies:
            return self._recipient_replies.popleft()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store the message; refuse it if configured to."""
        if self._replies:
            return self._replies.popleft()
        raw = envelope.original_content or b""
        message = BytesParser(policy=default).parsebytes(raw)
        assert isinstance(message, EmailMessage)
        user = session.auth_data.login.decode() if isinstance(session.auth_data, LoginPassword) else None
        letter = Letter(envelope.mail_from or "", tuple(envelope.rcpt_tos), raw, message, user, session.ssl is not None)
        if self._folder is not None:
            file = self._folder / f"{len(self.letters) + 1:04}.eml"
            await asyncio.to_thread(file.write_bytes, raw)
        async with self._changed:
            self.letters.append(letter)
            self._changed.notify_all()
        return "250 taken"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Answer QUIT, after `goodbye` is set."""
        if self._goodbye is not None:
            await self._goodbye.wait()
        return "221 bye"

    def _protocol(self) -> SMTP:
        return SMTP(
            self,
            hostname="localhost",
            enable_SMTPUTF8=self._smtputf8,
            tls_context=self._tls,
            authenticator=self._authenticate if self._login else None,
            auth_require_tls=False,
            loop=asyncio.get_running_loop(),
        )

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        return AuthResult(success=given == self._login, handled=False, auth_data=data)

    async def _until(self, condition: Callable[[], bool]) -> list[Letter]:
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(condition)
        return self.letters


async def _serve(port: int, folder: Path) -> None:

    async with Mailbox(port, folder) as mailbox:
        print(f"catching mail at {mailbox.url} in {folder}", flush=True)  # noqa: T201  its caller waits for this line
        await asyncio.Event().wait()


def main() -> None:
    """Store mail until stopped."""
    parser = argparse.ArgumentParser(description="Catches mail on loopback and keeps it as files.")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--folder", type=Path, required=True, help="where the .eml files go")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(_serve(arguments.port, arguments.folder))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
