"""Sends traces to a collector, as the OTEL_ variables say. (The only module that names OpenTelemetry's SDK.)

api/trace_variables.py decides whether. The SDK reads the rest of its variables itself: endpoint, headers, sampler.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

from winnow import __version__
from winnow.api.trace_variables import TraceExport
from winnow.retrieval.tracing import TracerProvider

FLUSH_SECONDS_MAX: Final = 3.0  # at the end, for spans that were not sent yet; systemd and Kubernetes wait longer
_UNNAMED: Final = "unknown_service"  # how the SDK calls a service without OTEL_SERVICE_NAME


@contextlib.contextmanager
def exporting(export: TraceExport) -> Iterator[TracerProvider | None]:
    """Export traces during the block, and what is left of them at its end. None: no traces are wanted."""
    if not export.is_wanted:
        yield None
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith(_UNNAMED):
        resource = resource.merge(Resource({SERVICE_NAME: "winnow"}))
    provider = SdkTracerProvider(
        resource=Resource({SERVICE_VERSION: __version__}).merge(resource), shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider
    finally:
        giving_up = threading.Timer(FLUSH_SECONDS_MAX, exporter.shutdown)  # the SDK would retry for half a minute
        giving_up.daemon = True
        giving_up.start()
        provider.shutdown()
        giving_up.cancel()
