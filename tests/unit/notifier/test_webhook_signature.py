"""Tests of signatures as receivers verify them."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.notifier.delivery.webhook_signature import WebhookSigner, check_secret
from tests.support.finished_batches import SECRET

BODY = '{"name":"Größe 音"}'.encode()


def test_the_signature_verifies_with_the_reference_library() -> None:
    headers = dict(WebhookSigner(SECRET).headers("msg_1", datetime.now(UTC), BODY))
    assert Webhook(SECRET).verify(BODY, headers) == {"name": "Größe 音"}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, headers | {"webhook-id": "msg_2"})


def test_the_headers_follow_the_specification() -> None:
    at = datetime(2026, 11, 22, 0, 0, 0, 900_000, tzinfo=UTC)
    headers = WebhookSigner(SECRET).headers("msg_1", at, BODY)
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = hmac.new(key, b"msg_1.%d." % int(at.timestamp()) + BODY, hashlib.sha256).digest()
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1795305600",
        "webhook-signature": "v1," + base64.b64encode(signed).decode(),
    }


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "whsk_" + SECRET.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        SECRET + "!",
        "whsec_päß" + "A" * 40,
    ],
)
def test_a_malformed_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_` and 24 to 64 random bytes") as caught:
        check_secret(secret)
    assert not secret.removeprefix("whsec_") or secret not in str(caught.value)
