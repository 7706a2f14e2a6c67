"""Tracing from command to webhook: the trace context travels in the AMQP header `traceparent`."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.runtime.errors import ConfigurationError
from shared.runtime.settings import Settings

_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("batchyard")


def configure(settings: Settings, service: str) -> None:
    """Export spans to `trace_file` and, where `OTEL_EXPORTER_OTLP_ENDPOINT` is set, by OTLP."""
    if not settings.otlp_endpoint and not settings.trace_file:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": f"batchyard-{service}"}))
    if settings.trace_file:
        file = Path(settings.trace_file).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115  for the whole process
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=file, formatter=_line)))
    if settings.otlp_endpoint:
        try:
            otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the exporter is not installed: install batchyard[otlp]."
            ) from error
        provider.add_span_processor(BatchSpanProcessor(otlp.OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


@contextmanager
def span(
    name: str, traceparent: str | None, kind: SpanKind = SpanKind.CONSUMER, **attributes: str | int
) -> Iterator[Span]:
    """Open a span that continues the trace of a received `traceparent`, or the current trace if it is None."""
    context = _propagator.extract({"traceparent": traceparent}) if traceparent else None
    with _tracer.start_as_current_span(name, context=context, kind=kind, attributes=attributes) as current:
        yield current


def traceparent() -> str | None:
    """Return the current trace context, to be sent or stored; None outside a trace."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


def _line(span: ReadableSpan) -> str:
    line: str = span.to_json(indent=None)
    return line + "\n"
