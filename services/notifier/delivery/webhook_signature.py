"""Signs webhooks by Standard Webhooks 1.0, so that receivers can verify who sent a body, and when."""

import base64
from collections.abc import Mapping
from datetime import datetime

from standardwebhooks import Webhook

_PREFIX = "whsec_"
_BYTES = range(24, 65)
_WRONG = "must be `whsec_` and 24 to 64 random bytes in base64; make one with: echo whsec_$(openssl rand -base64 32)"


def check_secret(secret: str) -> str:
    """Return the secret; raise `ValueError`, which does not contain the secret, if it is malformed."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:  # not base64, or not even ASCII
        key = b""
    if not secret.startswith(_PREFIX) or len(key) not in _BYTES:
        raise ValueError(_WRONG)
    return secret


class WebhookSigner:
    """Signer of webhooks with one secret."""

    def __init__(self, secret: str) -> None:
        self._webhook = Webhook(check_secret(secret))

    def headers(self, message_id: str, at: datetime, body: bytes) -> Mapping[str, str]:
        """Return the three signature headers for exactly these bytes; `at` is the time of this attempt."""
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": self._webhook.sign(message_id, at, body.decode()),
        }
