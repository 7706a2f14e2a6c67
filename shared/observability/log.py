"""Structured logs: one JSON object per line on standard error, with the trace and, where known, the batch."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog
from opentelemetry import trace

from batchyard_contracts.api_keys import mask_keys
from shared.runtime.settings import Settings

_SECRET_KEYS = re.compile(r"authorization|secret|token|password|api_key|_url$", re.IGNORECASE)
_SECRETS = re.compile(
    r"whsec_[A-Za-z0-9+/=]+"
    r"|(?<=://)[^/@\s:]*:[^/@\s]*(?=@)"
    r"|(?i:bearer)\s+\S+"
    r"|(?i:basic)\s+(?=\S*[A-Z0-9=])[A-Za-z0-9+/=_-]{4,}"
)
_SERVER = re.compile(r"\b((?:amqps?|rediss?|postgres|postgresql)://)[^@\s:]*:[^\s\"']*(?=@)")
"""Matches the credentials in server addresses, whose passwords may contain `/` or `@`."""
_MAX_DEPTH = 6
_CONNECTION_LOST = re.compile(
    r"Callback .*_on_close.* error|error when creating transport|Reconnect attempt failed|Unexpected connection close"
)


def configure(settings: Settings, service: str) -> None:
    """Configure the logging of this process, for structlog and the standard library."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        structlog.processors.format_exc_info,
        _redact,
    ]
    final: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_lower_reconnect_level)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for chatty in ("aio_pika", "aiormq", "faststream", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service)


def _add_trace(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    return event


def _lower_reconnect_level(record: logging.LogRecord) -> bool:
    """Log a lost broker connection as a warning: the libraries reconnect by themselves but log an error."""
    if record.levelno > logging.WARNING and record.name.startswith(("aio_pika", "aiormq")):
        if _CONNECTION_LOST.match(record.getMessage()):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return record.levelno >= logging.getLogger().level
    return True


def _redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if not key.startswith("_"):  # internal keys of the formatter
            event[key] = _clean(key, value)
    return event


def _clean(key: object, value: Any, depth: int = 0) -> Any:
    """Return the value without secrets, at any depth; other objects become their text."""
    if isinstance(key, str) and _SECRET_KEYS.search(key):
        return "[redacted]"
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return {str(k): _clean(k, v, depth + 1) for k, v in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_clean(None, v, depth + 1) for v in value]
    text = value if isinstance(value, str) else repr(value)
    return mask_keys(_SECRETS.sub("[redacted]", _SERVER.sub(r"\1[redacted]", text)))
