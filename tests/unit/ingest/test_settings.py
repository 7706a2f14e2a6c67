"""Settings from the environment, and no secrets in printed settings."""

import pytest
from pydantic import ValidationError

from batchyard_contracts.api_keys import new_api_key
from services.ingest.settings import IngestSettings

TOKEN = "a-token-for-the-tests"


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


def test_an_operator_key_has_the_form_of_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_api_key("live")
    monkeypatch.setenv("BATCHYARD_OPERATOR_KEY", key)
    settings = IngestSettings()
    assert settings.operator_key is not None
    assert settings.operator_key.get_secret_value() == key
    assert key not in repr(settings)
    monkeypatch.setenv("BATCHYARD_OPERATOR_KEY", key[:-1] + "-")
    with pytest.raises(ValidationError, match="batchyard keys generate"):
        IngestSettings()


@pytest.mark.parametrize("value", ["jobs.example", "https://user@jobs.example", "ftp://jobs.example"])
def test_a_public_address_is_one_of_http(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BATCHYARD_PUBLIC_URL", value)
    with pytest.raises(ValidationError):
        IngestSettings()
