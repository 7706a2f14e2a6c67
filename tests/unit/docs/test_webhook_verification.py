"""The two functions on the page of notifications accept what the notifier signs, and refuse everything else."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.notifier.delivery.webhook_sender import payload
from services.notifier.delivery.webhook_signature import WebhookSigner
from tests.docs.blocks import blocks
from tests.unit.docs.pages import ROOT

SECRET = "whsec_" + "QUJD" * 8
BODY = payload('{"type":"batch.finished.v1","name":"Ünï","finished_at":"2026-11-30T10:00:00Z"}')
Verify = Callable[[str, Mapping[str, str], bytes], None]


def block(language: str) -> str:
    found = [one.code for one in blocks(ROOT / "docs" / "notifications.md") if one.language == language]
    return next(code for code in found if "verify(secret" in code)


def by_python(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)  # the documentation's own code
    names["verify"](secret, headers, body)


def by_node(secret: str, headers: Mapping[str, str], body: bytes, folder: Path) -> None:
    arguments = json.dumps([secret, dict(headers), body.hex()])
    call = f"const [secret, headers, body] = {arguments};\nverify(secret, headers, Buffer.from(body, 'hex'));\n"
    (folder / "verify.mjs").write_text(block("js") + call, "utf-8")
    ended = subprocess.run(["node", "verify.mjs"], cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ValueError(ended.stderr)


@pytest.fixture(params=["python", "node"])
def verify(request: pytest.FixtureRequest, tmp_path: Path) -> Verify:
    if request.param == "python":
        return by_python
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    return lambda secret, headers, body: by_node(secret, headers, body, tmp_path)


def signed(minutes: int = 0) -> dict[str, str]:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    return dict(WebhookSigner(SECRET).headers("msg_1", at, BODY))


def test_a_webhook_of_the_notifier_is_accepted(verify: Verify) -> None:
    headers = signed()
    verify(SECRET, headers, BODY)
    verify(SECRET, headers | {"webhook-signature": "v1,b3RoZXI= " + headers["webhook-signature"]}, BODY)


@pytest.mark.parametrize("changed", ["body", "id", "secret", "signature", "no signature"])
def test_a_webhook_that_was_changed_is_refused(verify: Verify, changed: str) -> None:
    headers = signed()
    body = BODY + b" " if changed == "body" else BODY
    secret = "whsec_" + "QUJE" * 8 if changed == "secret" else SECRET
    if changed == "id":
        headers["webhook-id"] = "msg_2"
    if changed == "signature":
        headers["webhook-signature"] = "v1,AAAA"
    if changed == "no signature":
        headers["webhook-signature"] = ""
    with pytest.raises(ValueError, match="the signature is wrong"):
        verify(secret, headers, body)


@pytest.mark.parametrize("minutes", [-10, 60])
def test_a_webhook_of_another_time_is_refused(verify: Verify, minutes: int) -> None:
    with pytest.raises(ValueError, match="too old"):
        verify(SECRET, signed(minutes), BODY)
