"""Traces: W3C trace context in, through and out, whether or not anything is exported.

Without an exporter spans are not recorded, only their ids are made: every answer, log line and
outgoing call still carries a valid trace id.
"""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from chassis.traces import AttributeValue, Recorder, Span, TraceContext, Unrecorded

_CURRENT: ContextVar[TraceContext | None] = ContextVar("trace", default=None)


class _Tracing:
    """The process's own."""

    recorder: Recorder = Unrecorded()


def configure_tracing(service: str, exporter: str = "none") -> None:
    """`exporter` is `none`, `console`, `otlp` (OTEL_* variables say where) or `file:<path>`.

    All but `none` need the packages of OpenTelemetry: ImportError where they are not installed.
    """
    recorder = Unrecorded() if exporter == "none" else _opentelemetry(service, exporter)
    _Tracing.recorder.close()
    _Tracing.recorder = recorder


def stop_tracing() -> None:
    """Exports what is still held back."""
    _Tracing.recorder.close()


@contextmanager
def span(name: str, **attributes: AttributeValue) -> Generator[Span]:
    current = _Tracing.recorder.begin(name, attributes, _CURRENT.get())
    token = _CURRENT.set(current.context)
    failure: BaseException | None = None
    try:
        yield current
    except BaseException as error:
        failure = error
        raise
    finally:
        current.end(failure)
        # a generator may be closed in another context than it was begun in
        with suppress(ValueError):
            _CURRENT.reset(token)


def current_trace_id() -> str:
    """32 hex digits; empty outside of any span."""
    current = _CURRENT.get()
    return current.trace_id if current else ""


def traceparent() -> str | None:
    """The header for an outgoing call, or None outside of any span."""
    current = _CURRENT.get()
    return current.header if current else None


@contextmanager
def use_traceparent(header: str | None) -> Generator[None]:
    """Spans within continue that trace; a header that cannot be read starts a new one."""
    token = _CURRENT.set(TraceContext.of_header(header))
    try:
        yield
    finally:
        with suppress(ValueError):  # as in `span`
            _CURRENT.reset(token)


def _opentelemetry(service: str, exporter: str) -> Recorder:
    # its SDK takes longer to load than an executor may take to start
    from chassis.recording import OpenTelemetry  # noqa: PLC0415  # only where spans are kept

    return OpenTelemetry(service, exporter)
