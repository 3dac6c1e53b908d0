"""A model server that is in the trace of each call, as vLLM is with `--otlp-traces-endpoint`."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.observe.otlp_receiver import OtlpReceiver
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.vllm.client import VllmClient

SERVER = 2  # kind of a span in the protocol


class TracedVllm:
    """Answers as vLLM does, and sends a span of its own for each call that is in a recorded trace."""

    def __init__(self, receiver: OtlpReceiver | None = None) -> None:
        self.receiver = receiver
        self.parents: list[str | None] = []  # the traceparent of each call that scored
        self.url = ""
        self.hang_ups = 0  # calls of a trace that it leaves without an answer

    def score(self, asked: dict[str, list[object]], parent: str | None) -> dict[str, object]:
        self.parents.append(parent)
        began = time.time_ns()
        rows = [{"index": place, "probs": [0.5]} for place in range(len(asked["input"]))]
        if self.receiver is not None and parent is not None and int(parent[-2:], 16) & 1:
            _, trace_id, span_id, _ = parent.split("-")
            sent = ExportTraceServiceRequest()
            resource = sent.resource_spans.add()
            resource.resource.attributes.add(key="service.name").value.string_value = "vllm"
            span = resource.scope_spans.add().spans.add(name="llm_request", kind=SERVER)
            span.trace_id, span.parent_span_id = bytes.fromhex(trace_id), bytes.fromhex(span_id)
            span.span_id = len(self.parents).to_bytes(8, "big")
            span.start_time_unix_nano, span.end_time_unix_nano = began, time.time_ns()
            self.receiver.take(sent.SerializeToString())
        return {"data": rows}

    @contextmanager
    def running(self) -> Iterator[None]:
        model = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.say({"data": [{"id": "m"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                parent = self.headers.get("traceparent")
                if parent is not None and model.hang_ups:
                    model.hang_ups -= 1
                    self.close_connection = True
                    return
                self.say(model.score(body, parent))

            def say(self, body: object) -> None:
                said = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            server.block_on_close = False
            self.url = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()


async def unquestioned(client: VllmClient, deadline: Deadline) -> None:
    """A `Proof` that any server passes, but for which it is called."""
    await client.classify([[1]], salt="proof", deadline=deadline)
