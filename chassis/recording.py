"""Spans kept by OpenTelemetry's SDK, and where they are exported to."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
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
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from chassis.traces import AttributeValue, OpenSpan, TraceContext


class OpenTelemetry:
    """`exporter` as `chassis.telemetry.configure_tracing` has it; ValueError for another one."""

    def __init__(self, service: str, exporter: str) -> None:
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": service}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter())
            if exporter == "otlp"
            else SimpleSpanProcessor(_exporter(exporter))
        )
        self._tracer = self._provider.get_tracer("berth")

    def begin(
        self, name: str, attributes: Mapping[str, AttributeValue], parent: TraceContext | None
    ) -> OpenSpan:
        context = _context(parent) if parent else Context()
        return _Recorded(self._tracer.start_span(name, context, attributes=dict(attributes)))

    def close(self) -> None:
        self._provider.shutdown()


class _Recorded:
    def __init__(self, kept: trace.Span) -> None:
        own = kept.get_span_context()
        self.context = TraceContext(
            trace.format_trace_id(own.trace_id), trace.format_span_id(own.span_id), recorded=True
        )
        self._kept = kept

    def update_name(self, name: str) -> None:
        self._kept.update_name(name)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self._kept.set_attribute(key, value)

    def end(self, error: BaseException | None) -> None:
        if isinstance(error, Exception):
            self._kept.record_exception(error)
            self._kept.set_status(trace.StatusCode.ERROR, f"{type(error).__name__}: {error}")
        self._kept.end()


def _context(parent: TraceContext) -> Context:
    remote = trace.SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())


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
