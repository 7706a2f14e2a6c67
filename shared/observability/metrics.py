"""Metrics: OpenTelemetry instruments, served as text at `/metrics` and exported by OTLP where that is configured.

Attributes have few values: workloads and states, never ids or owners.
"""

from importlib import import_module

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Counter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_meter = metrics.get_meter("batchyard")


def configure(service: str, *, otlp: bool) -> None:
    """Start collecting metrics, and export them by OTLP if wanted; `telemetry` has checked that it is installed."""
    readers: list[MetricReader] = [PrometheusMetricReader(disable_target_info=True)]
    if otlp:
        exporter = import_module("opentelemetry.exporter.otlp.proto.http.metric_exporter")
        readers.append(PeriodicExportingMetricReader(exporter.OTLPMetricExporter()))
    resource = Resource.create({"service.name": f"batchyard-{service}"})
    metrics.set_meter_provider(MeterProvider(readers, resource=resource))


def counter(name: str, description: str, unit: str = "1") -> Counter:
    """Create a monotonic counter; `name` is dotted. Counts nothing before `configure`."""
    return _meter.create_counter(name, unit, description)


def text() -> bytes:
    """Return all metrics of this process in the Prometheus text format."""
    return generate_latest()
