"""Logs contain no secrets, and a lost connection is no error."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from batchyard_contracts.api_keys import id_of, new_api_key
from shared.observability import log
from shared.runtime.settings import Settings

SECRET = "s3cret"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The written lines, one object each."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", written)
    log.configure(Settings(), "test")
    try:
        yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
        for name in ("aio_pika", "aiormq", "faststream", "uvicorn.access"):
            logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    "text",
    [
        f"redis://:{SECRET}@host:6379/0",
        f"rediss://:{SECRET}/x@host:6379/0",
        f"amqp://user:{SECRET}@host/v",
        f"amqps://user:x/{SECRET}@host/v",
        f"postgresql://u:pa/{SECRET}@h/db",
        f"postgres://u:pa@{SECRET}@h/db",
        f"https://user:{SECRET}@host/path",
        f"Authorization: Basic {SECRET}Zz==",
        f"basic dXNlcjp{SECRET}",
        f"Bearer {SECRET}",
        f"bearer {SECRET}",
        f"whsec_{SECRET}",
    ],
)
def test_secrets_are_redacted_wherever_they_stand(lines: Any, text: str) -> None:
    logger = structlog.get_logger()
    logger.info(text)
    logger.info("x", value=text, nested={"a": [{"b": text}]}, pair=(text, 1), error=ValueError(text))
    logging.getLogger("other").warning("foreign %s", text)
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("failed")
    written = lines()
    assert len(written) == 4
    assert SECRET not in json.dumps(written)
    assert "[redacted]" in written[3]["exception"]


def test_api_keys_are_masked_wherever_they_stand(lines: Any) -> None:
    key = new_api_key("live")
    logger = structlog.get_logger()
    logger.info("x", event_text=f"the key {key} is unknown", value=f"/batches?name={key}", nested=[{"x": key[:40]}])
    logging.getLogger("other").warning("foreign %s", key)
    written = json.dumps(lines(), ensure_ascii=False)
    assert key[16:36] not in written
    assert written.count(f"by_live_{id_of(key)}…") == 4


def test_values_under_secret_names_are_redacted_at_any_depth(lines: Any) -> None:
    structlog.get_logger().info("x", a={"password": SECRET, "list": [{"api_key": [SECRET]}]}, amqp_url=SECRET)
    assert SECRET not in json.dumps(lines())


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com:8080/a@b",
        "redis://localhost:6379/0",
        "postgresql://me@host:5432/db",
        "basic access",
    ],
)
def test_other_text_stays(lines: Any, text: str) -> None:
    structlog.get_logger().info(text, n=1, ok=True, none=None, list=[1, "a"], nested={"k": 2.5})
    (line,) = lines()
    assert (line["event"], line["n"], line["ok"], line["none"]) == (text, 1, True, None)
    assert (line["list"], line["nested"]) == ([1, "a"], {"k": 2.5})


@pytest.mark.parametrize(
    ("logger", "message", "level"),
    [
        (
            "aio_pika.tools",
            "Callback <X: cb=<bound method Y._on_close of 1>> error: RuntimeError: <",
            "warning",
        ),
        ("aiormq.connection", "error when creating transport: OSError()", "warning"),
        ("aio_pika.robust_connection", "Reconnect attempt failed X due to OSError", "warning"),
        ("aiormq.channel", "Consumer callback failed", "error"),
        ("other", "error when creating transport: OSError()", "error"),
    ],
)
def test_a_lost_connection_is_no_error(lines: Any, logger: str, message: str, level: str) -> None:
    logging.getLogger(logger).error(message)
    assert [line["level"] for line in lines()] == [level]
