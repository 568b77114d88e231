"""Traces: W3C trace context in, through and out, whether or not anything is exported.

Without an exporter spans are not recorded, only their ids are made: every answer, log line and
outgoing call still carries a valid trace id.
"""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

_PROPAGATOR = TraceContextTextMapPropagator()


class _Tracing:
    """The process's tracer. OpenTelemetry's own global one can be set only once."""

    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    tracer = provider.get_tracer("berth")


def configure_tracing(service: str, exporter: str = "none") -> None:
    """`exporter` is `none`, `console`, `otlp` (OTEL_* variables say where) or `file:<path>`."""
    provider = TracerProvider(
        sampler=ALWAYS_OFF if exporter == "none" else ALWAYS_ON,
        resource=Resource.create({"service.name": service}),
    )
    if exporter == "otlp":
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    elif exporter != "none":
        provider.add_span_processor(SimpleSpanProcessor(_exporter(exporter)))
    _Tracing.provider.shutdown()
    _Tracing.provider = provider
    _Tracing.tracer = provider.get_tracer("berth")


def stop_tracing() -> None:
    """Exports what is still held back."""
    _Tracing.provider.shutdown()


@contextmanager
def span(name: str, **attributes: AttributeValue) -> Generator[trace.Span]:
    with _Tracing.tracer.start_as_current_span(name, attributes=attributes) as current:
        yield current


def current_trace_id() -> str:
    """32 hex digits; empty outside of any span."""
    current = trace.get_current_span().get_span_context()
    return trace.format_trace_id(current.trace_id) if current.is_valid else ""


def traceparent() -> str | None:
    """The header for an outgoing call, or None outside of any span."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def use_traceparent(header: str | None) -> Generator[None]:
    """Spans within continue that trace; a header that cannot be read starts a new one."""
    carrier = {"traceparent": header} if header else {}
    token = context.attach(_PROPAGATOR.extract(carrier, context.Context()))
    try:
        yield
    finally:
        context.detach(token)


def _exporter(setting: str) -> SpanExporter:
    if setting == "console":
        return ConsoleSpanExporter()
    kind, _, path = setting.partition(":")
    if kind != "file" or not path:
        raise ValueError(
            f"the trace exporter {setting!r} is not none, console, otlp or file:<path>"
        )
    return _FileExporter(Path(path))


class _FileExporter(SpanExporter):
    """JSON lines; any number of processes may append to one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = b"".join(msgspec.json.encode(_record(one)) + b"\n" for one in spans)
        with self._lock, self._path.open("ab", buffering=0) as file:
            file.write(lines)
        return SpanExportResult.SUCCESS


def _record(one: ReadableSpan) -> dict[str, Any]:
    own = one.get_span_context() or trace.INVALID_SPAN_CONTEXT
    return {
        "name": one.name,
        "trace_id": trace.format_trace_id(own.trace_id),
        "span_id": trace.format_span_id(own.span_id),
        "parent": trace.format_span_id(one.parent.span_id) if one.parent else None,
        "service": one.resource.attributes.get("service.name"),
        "attributes": dict(one.attributes or {}),
    }
