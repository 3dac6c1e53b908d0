"""A receiver of OTLP over HTTP, of OpenTelemetry's own protocol definitions: what a collector would get."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

WAIT_SECONDS = 30  # for spans, on a machine that is very busy


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One span."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str  # empty: it is a root
    kind: int
    began: int  # nanoseconds
    ended: int
    attributes: dict[str, Any]
    is_error: bool


class OtlpReceiver:
    """Keeps all spans that were sent, and the bytes that held them."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[Received] = []
        self.raw = b""
        self._changed = threading.Condition()

    def take(self, body: bytes) -> None:
        spans = [
            _received(span, str(_values(resource.resource.attributes)["service.name"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._changed:
            self.raw += body
            self.spans += spans
            self._changed.notify_all()

    def until(self, *names: str) -> list[Received]:
        """Waits until a span of each name is there."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: set(names) <= {each.name for each in self.spans}, timeout=WAIT_SECONDS
            )
            assert arrived, f"{sorted(names)} did not all arrive: {sorted({each.name for each in self.spans})}"
            return list(self.spans)

    def of_trace(self, trace_id: str, count: int) -> list[Received]:
        """Waits until a trace has so many spans."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: len(self.traces().get(trace_id, ())) >= count, timeout=WAIT_SECONDS
            )
            assert arrived, f"{len(self.traces().get(trace_id, ()))} of {count} spans arrived"
            return self.traces()[trace_id]

    def traces(self) -> dict[str, list[Received]]:
        """The spans of each trace."""
        found: dict[str, list[Received]] = {}
        for each in self.spans:
            found.setdefault(each.trace_id, []).append(each)
        return found


def require_tree(spans: list[Received], *, parent_id: str = "") -> Received:
    """The only root; every other span has a parent in the trace that lasted at least as long."""
    roots = [each for each in spans if each.parent_id == parent_id]
    assert len(roots) == 1, [each.name for each in roots]
    by_id = {each.span_id: each for each in spans}
    for each in spans:
        if each is not roots[0]:
            parent = by_id[each.parent_id]
            assert parent.began <= each.began <= each.ended <= parent.ended, (each, parent)
    return roots[0]


@contextmanager
def receiving() -> Iterator[OtlpReceiver]:
    """On loopback, while the block lasts."""
    receiver: OtlpReceiver

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            receiver.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = OtlpReceiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def _received(span: Span, service: str) -> Received:
    return Received(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        is_error=span.status.code == 2,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
