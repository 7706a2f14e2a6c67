"""Requests are traced by the service alone: the framework adds neither spans nor metrics of its own."""

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.types import Message

from services.ingest.http.openapi_file import described_app


async def test_the_framework_adds_no_spans_and_no_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, spans = InMemoryMetricReader(), InMemorySpanExporter()
    meter_provider, tracer_provider = MeterProvider([reader]), TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: meter_provider)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracer_provider)
    answered: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        answered.append(message)

    path = "/openapi.json"
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    scope |= {"http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 80), "root_path": ""}
    await described_app()(scope | {"asgi": {"version": "3.0"}}, receive, send)
    assert answered[0]["type"] == "http.response.start"
    assert reader.get_metrics_data() is None
    assert not spans.get_finished_spans()
