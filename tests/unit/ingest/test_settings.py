"""Settings from the environment, authentication by tokens, and no secrets in printed settings."""

import pytest
from pydantic import ValidationError
from starlette.requests import HTTPConnection

from services.ingest.domain.ingest_error import IngestError
from services.ingest.http.tokens import Tokens
from services.ingest.settings import IngestSettings

TOKEN = "a-token-for-the-tests"


def connection(kind: str = "http", header: str | None = None, protocols: tuple[str, ...] = ()) -> HTTPConnection:
    headers = [(b"authorization", header.encode())] if header is not None else []
    return HTTPConnection({"type": kind, "headers": headers, "subprotocols": list(protocols)})


def test_tokens_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHYARD_API_TOKENS", f'{{"ann": "{TOKEN}"}}')
    settings = IngestSettings()
    assert settings.api_tokens["ann"].get_secret_value() == TOKEN
    assert TOKEN not in repr(settings)
    assert TOKEN not in str(settings.api_tokens)


@pytest.mark.parametrize("value", ['{"ann": "short"}', '{"a.b": "a-token-for-the-tests"}', '["x"]'])
def test_invalid_tokens_are_rejected(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BATCHYARD_API_TOKENS", value)
    with pytest.raises(ValidationError):
        IngestSettings()


def test_without_tokens_every_client_is_the_default_owner() -> None:
    tokens = Tokens({})
    assert not tokens.required
    assert tokens.owner(connection(header="Bearer anything")) == "default"


def test_a_token_authenticates_its_owner() -> None:
    tokens = Tokens(IngestSettings(api_tokens={"ann": TOKEN, "bob": TOKEN[::-1]}).api_tokens)
    assert tokens.owner(connection(header=f"Bearer {TOKEN}")) == "ann"
    assert tokens.owner(connection("websocket", protocols=("batchyard", f"bearer.{TOKEN[::-1]}"))) == "bob"
    for wrong in (
        connection(),
        connection(header=f"Bearer {TOKEN}x"),
        connection(header=f"Basic {TOKEN}"),
        connection(header="Bearer é"),
        connection("http", protocols=(f"bearer.{TOKEN}",)),
        connection("websocket", protocols=("bearer.",)),
    ):
        with pytest.raises(IngestError) as error:
            tokens.owner(wrong)
        assert error.value.rejection.status == 401
