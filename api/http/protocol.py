"""One connection of the server: uvicorn's protocol over h11, with limits on everything that a client can leave open."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from http import HTTPStatus
from typing import Any, Final, cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from winnow.api.http.connections import Connections
from winnow.api.http.problem_response import problem_body
from winnow.api.http.problems import MEDIA_TYPE, REQUEST_ID_HEADER, Problem, problem_of, problem_of_status
from winnow.retrieval.errors import RequestSlow
from winnow.retrieval.limits import HEADER_BYTES_MAX, HEADER_SECONDS
from winnow.retrieval.tracing import new_id

READ_BYTES: Final = 65_536  # bytes read at once from a connection; asyncio's default of 256 kB adds up
CHUNKS_PER_TURN: Final = 25  # body chunks parsed per turn; half a millisecond
PAUSE_PER_WORK: Final = 3.0  # times the duration of a turn; all tiny chunks together get a quarter of the event loop
UNWANTED_BYTES_MAX: Final = 1_000_000  # bytes of a refused body; a client that sends more is disconnected


class Turns:
    """Schedules the parsing of bodies: a few chunks of one connection at a time, then a pause for other work."""

    def __init__(self) -> None:
        self._waiting: deque[BoundedProtocol] = deque()

        self._pause_seconds = 0.0

    def wait(self, connection: BoundedProtocol) -> None:
        self._waiting.append(connection)
        if len(self._waiting) == 1:
            self._later()

    def _later(self) -> None:
        asyncio.get_running_loop().call_later(self._pause_seconds, self._next)

    def _next(self) -> None:
        began = time.perf_counter()
        self._waiting[0].parse_on()
        self._pause_seconds = PAUSE_PER_WORK * (time.perf_counter() - began)
        self._waiting.popleft()
        if self._waiting:
            self._later()


class _PacedParser(h11.Connection):
    """Claims to need more data after a number of chunks, although it has some, and remembers that.

    Headers of an answer of known length are sent together with the beginning of its body, which follows at once: each
    call of the system takes as long as writing the headers. Those of a stream are sent before it.
    """

    chunks_left = CHUNKS_PER_TURN
    is_behind = False
    unsent_head = b""

    def next_event(self) -> Any:
        if not self.chunks_left:
            self.is_behind = True
            return h11.NEED_DATA
        event = super().next_event()
        if isinstance(event, h11.Data):
            self.chunks_left -= 1
        return event

    def send(self, event: Any) -> Any:
        output: bytes = super().send(event) or b""
        if isinstance(event, h11.Response) and any(name == b"content-length" for name, _ in event.headers):
            self.unsent_head = output
            return b""
        head, self.unsent_head = self.unsent_head, b""
        return head + output if head else output

    def begin_turn(self) -> None:
        self.chunks_left, self.is_behind = CHUNKS_PER_TURN, False


class _Flow(FlowControl):
    """Keeps reading paused while the parser is behind, regardless of the application."""

    is_held = False

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()


class BoundedProtocol(H11Protocol):
    """Reports its state to `Connections`; everything else is uvicorn's."""

    conn: _PacedParser
    flow: _Flow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections: Connections,
        turns: Turns,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = _PacedParser(h11.SERVER, HEADER_BYTES_MAX)
        self._connections = connections
        self._turns = turns
        self._unwanted = 0  # bytes of a refused body that came after the answer

    @property
    def _is_refusing(self) -> bool:
        """Whether the answer was sent before the whole body arrived. The rest of the body is read and discarded."""
        return self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY

    @property
    def unread(self) -> int:
        return self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if hasattr(transport, "max_size"):
            transport.max_size = READ_BYTES
        super().connection_made(cast("asyncio.Transport", transport))
        self.flow = _Flow(self.transport)
        self._connections.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refusing:
            self._unwanted += len(data)
            if self._unwanted > UNWANTED_BYTES_MAX:
                self.drop()
                return
            self.conn.receive_data(data)
            if not self.conn.is_behind:
                self.handle_events()  # without stopping uvicorn's timer, within which the rest must arrive
                self._tell()
        elif self.conn.is_behind:
            self.conn.receive_data(data)
        else:
            super().data_received(data)
            self._tell()

    def handle_events(self) -> None:
        self.conn.begin_turn()
        super().handle_events()
        if self.conn.is_behind and not self.flow.is_held and not self.transport.is_closing():
            self.flow.is_held = True
            self.flow.pause_reading()
            self._turns.wait(self)

    def parse_on(self) -> None:
        """Parse what has arrived and did not fit the last turn."""
        self.flow.is_held = False
        if self.transport.is_closing():
            return
        self.handle_events()
        if not self.conn.is_behind:
            self.flow.resume_reading()
        self._tell()

    def on_response_complete(self) -> None:
        self._unwanted = 0
        super().on_response_complete()
        self._tell()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._connections.blocked(self)

    def refuse_slow(self) -> None:
        self._refuse(problem_of(RequestSlow(f"the request line and headers took more than {HEADER_SECONDS} seconds")))

    def send_400_response(self, msg: str) -> None:
        """Answer input that h11 has refused; not logged, since there may be any number of these."""
        if self.conn.our_state in {h11.DONE, h11.MUST_CLOSE}:  # the rest of a body whose request was answered
            self.drop()
            return
        is_long = len(self.conn.trailing_data[0]) > HEADER_BYTES_MAX
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if is_long else HTTPStatus.BAD_REQUEST
        said = f"the request line and headers have more than {HEADER_BYTES_MAX} bytes" if is_long else msg
        self._refuse(problem_of_status(status, said))

    def drop(self) -> None:
        self.transport.abort()

    def _refuse(self, problem: Problem) -> None:
        """Write an answer past h11, whose state may no longer allow one."""
        id_ = new_id()  # not that of the connection's last request, in whose context this may run
        body = problem_body(problem, id_)
        head = (
            f"HTTP/1.1 {problem.status.value} {problem.status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\n{REQUEST_ID_HEADER}: {id_}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()

    def _tell(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._connections.answering(self)
        elif self.conn.their_state is h11.IDLE:
            if self.conn.trailing_data[0]:
                self._connections.arriving(self)
            elif self.cycle is not None:
                self._connections.idle(self)

    def _unsupported_upgrade_warning(self) -> None:
        """Do nothing: the request is answered as if it had not asked for an upgrade."""
