"""What one request did, for its log line and its trace: its id, its tenant, and the time of each stage.

    with following(record, headers, tracer):          # api/http/observed.py, around each request
        with stage("embed") as embedding:             # anywhere below, in any task or thread of the request
            ...
            embedding.note({INPUT_TOKENS: 7})

This is the only module that names OpenTelemetry's API; api/http/trace_export.py is the only one that names its SDK.

Rule 1: without a request (commands, background work) a stage is only run, and no span is made.
Rule 2: attributes are names, numbers and identities: never a query, an instruction's text, a document's text or a key.
Rule 3: an error is noted by its type, since its message may repeat what a caller sent.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, TypeAlias

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Attributes: TypeAlias = Mapping[str, str | int | float | bool]
TracerProvider: TypeAlias = trace.TracerProvider  # for the modules that may not name OpenTelemetry

# Names of OpenTelemetry's conventions for HTTP and for generative AI; winnow's own begin with `winnow.`.
ERROR_TYPE: Final = "error.type"
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
MODEL: Final = "gen_ai.request.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
DIMENSIONS: Final = "gen_ai.embeddings.dimension.count"
DATA_SOURCE: Final = "gen_ai.data_source.id"
PROMPT_NAME: Final = "gen_ai.prompt.name"
TENANT: Final = "winnow.tenant"
REQUEST_ID: Final = "winnow.request_id"
CANDIDATES: Final = "winnow.candidates"
REMEMBERED: Final = "winnow.remembered"

REQUEST_ID_CHARACTERS_MAX: Final = 128  # a UUID has 36; longer ones would only fill the log
_REQUEST_ID: Final = re.compile(rf"[A-Za-z0-9._:=-]{{1,{REQUEST_ID_CHARACTERS_MAX}}}")
_KEY: Final = "wk_"  # how API keys begin; an id that may be one would be logged
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_NAME: Final = "winnow"


@dataclass(slots=True)
class RequestRecord:
    """One request so far."""

    request_id: str  # the caller's, or ours
    answer_id: str  # always ours, so unique: what an answer calls itself
    tenant: str | None = None  # None: no key was accepted yet
    stages_ms: dict[str, float] = field(default_factory=dict)  # in order of their end
    tracer: Tracer | None = None
    span: Span = trace.INVALID_SPAN  # of the whole request

    @classmethod
    def of(cls, sent: str | None) -> Self:
        """Create a record under the id that the caller sent; an id of another form is ignored."""
        ours = new_id()
        return cls(request_id=sent if sent is not None and is_request_id(sent) else ours, answer_id=ours)

    @property
    def trace_ids(self) -> tuple[str, str] | None:
        """Ids of the trace and of this request's span in it; None if the request is in no trace."""
        context = self.span.get_span_context()
        if not context.is_valid:
            return None
        return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


_CURRENT: Final[ContextVar[RequestRecord | None]] = ContextVar("winnow_request", default=None)


def new_id() -> str:
    """Return a unique id."""
    return f"req_{uuid.uuid4().hex}"


def is_request_id(text: str) -> bool:
    """Whether this may be an id in headers, logs and traces: few characters of a safe kind, and no API key."""
    return _REQUEST_ID.fullmatch(text) is not None and _KEY not in text


def current() -> RequestRecord | None:
    """Return the record of the request that this code runs for, if any."""
    return _CURRENT.get()


def request_id() -> str:
    """Return the id of the current request, or a new one."""
    record = _CURRENT.get()
    return new_id() if record is None else record.request_id


def answer_id() -> str:
    """Return the unique id of the current request's answer, or a new one."""
    record = _CURRENT.get()
    return new_id() if record is None else record.answer_id


def make_tracer(provider: TracerProvider | None, version: str) -> Tracer:
    """Return winnow's tracer of this provider, or of the process's if there is none."""
    return trace.get_tracer(_NAME, version, tracer_provider=provider)


def note_tenant(tenant: str) -> None:
    """Note that the current request has the key of this tenant."""
    record = _CURRENT.get()
    if record is not None:
        record.tenant = tenant


def annotate(attributes: Attributes) -> None:
    """Add attributes to the current request's span."""
    record = _CURRENT.get()
    if record is not None and record.span.is_recording():
        record.span.set_attributes(dict(attributes))


def conclude(name: str, attributes: Attributes, *, error: str | None) -> None:
    """Name the current request's span when its outcome is known; `error` is a name for the kind of failure."""
    record = _CURRENT.get()
    if record is None or not record.span.is_recording():
        return
    record.span.update_name(name)
    record.span.set_attributes(dict(attributes))
    if error is not None:
        record.span.set_attribute(ERROR_TYPE, error)
        record.span.set_status(Status(StatusCode.ERROR))


@contextmanager
def following(
    record: RequestRecord, headers: Mapping[str, str], *, tracer: Tracer, name: str, attributes: Attributes
) -> Iterator[None]:
    """Make this the record of the running task and of all tasks and threads that it starts, and trace it.

    The trace is the one that the headers name, if any. The record stays in force after the block: the handler of
    unexpected errors answers outside it. The next request of a connection may start in the context of the one before,
    so nothing is taken from that.
    """
    parent = _PROPAGATOR.extract(headers, context=Context())
    span = tracer.start_span(name, context=parent, kind=SpanKind.SERVER, attributes=dict(attributes))
    record.tracer, record.span = tracer, span
    _CURRENT.set(record)
    token = attach(trace.set_span_in_context(span, parent))
    try:
        yield
    except BaseException as error:
        _note_error(span, error)
        raise
    finally:
        detach(token)
        span.end()


class Stage:
    """A running stage."""

    __slots__ = ("_span",)

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def note(self, attributes: Attributes) -> None:
        """Add attributes to the stage's span."""
        if self._span is not None:
            self._span.set_attributes(dict(attributes))

    def note_failure(self, kind: str) -> None:
        """Note that the stage failed, with a name for the kind of failure, although nothing is raised."""
        if self._span is not None:
            self._span.set_attribute(ERROR_TYPE, kind)
            self._span.set_status(Status(StatusCode.ERROR))


_UNTRACED: Final = Stage(None)


class _MeasuredStage:
    """What `stage` returns. A generator would take three times as long to enter and leave, four times a search."""

    __slots__ = ("_began", "_name", "_record", "_step")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> Stage:
        self._record = _CURRENT.get()
        self._step = None
        if self._record is None:
            return _UNTRACED
        self._began = time.perf_counter()
        if not self._record.span.is_recording():
            return _UNTRACED
        self._step = step(self._name)
        return self._step.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        record = self._record
        if record is None:
            return
        try:
            if self._step is not None:
                self._step.__exit__(kind, error, traceback)
        finally:
            taken = 1_000.0 * (time.perf_counter() - self._began)
            record.stages_ms[self._name] = record.stages_ms.get(self._name, 0.0) + taken


def stage(name: str) -> _MeasuredStage:
    """Measure and trace a stage of the current request; the times of stages of one name are added up."""
    return _MeasuredStage(name)


@contextmanager
def step(name: str, kind: SpanKind = SpanKind.INTERNAL) -> Iterator[Stage]:
    """Trace a part of a stage of the current request: a span, but no figure of its own in the log."""
    record, parent = _CURRENT.get(), trace.get_current_span()
    if record is None or record.tracer is None or not parent.is_recording():
        yield _UNTRACED
        return
    with record.tracer.start_as_current_span(
        name, kind=kind, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield Stage(span)
        except BaseException as error:
            _note_error(span, error)
            raise


def call(method: str) -> AbstractContextManager[Stage]:
    """Trace a call of another service, whose headers should get `propagate`."""
    return step(method, SpanKind.CLIENT)


def propagate(headers: MutableMapping[str, str]) -> None:
    """Add the headers that make the called service continue the current request's trace."""
    if _CURRENT.get() is not None:
        _PROPAGATOR.inject(headers)


def exemplar() -> dict[str, str] | None:
    """Return what links a measurement to the current request's trace; None unless the trace is recorded."""
    record = _CURRENT.get()
    if record is None or not record.span.is_recording() or not record.span.get_span_context().trace_flags.sampled:
        return None
    ids = record.trace_ids
    return None if ids is None else {"trace_id": ids[0], "span_id": ids[1]}


def _note_error(span: Span, error: BaseException) -> None:
    span.set_attribute(ERROR_TYPE, type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))
