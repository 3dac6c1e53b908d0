"""Scores and embeds token ids: vLLM's engine behind our own HTTP front.

The Python that has vllm runs this file by its path: winnow is not installed there, and nothing of it is imported. It
accepts vLLM's own flags and implements exactly the part of vLLM's HTTP interface that winnow uses, so callers need not
know which of the two answers.

Why it exists: vLLM's server validates every body with pydantic, creates a task per input, and sends each through a
socket to the computing process and back while the GPU waits (bench/RESULTS.md). Here the engine computes in this
process: the main thread prepares the inputs of a request, hands them over and steps, and a second thread reads the next
requests and answers those that are done.

The engine's loop is in engine_turns.py, which the same Python finds in this file's folder.

Rule: what vLLM refuses is refused here, in its words.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import signal
import socket
import threading
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any, Final

import msgspec
import uvicorn
import vllm
from engine_turns import Job, Refused, Trace, Turns
from prometheus_client import generate_latest
from shared_prefix import SharedPrefix, why_not
from step_graphs import GRAPH_TOKENS, capture_steps
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.platforms import current_platform
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine.llm_engine import LLMEngine
from vllm.v1.executor import Executor

CLASSIFY: Final = "/classify"
POOLING: Final = "/pooling"
TOKENIZE: Final = "/tokenize"
_BACKLOG: Final = 1024  # connections waiting to be accepted
BODY_BYTES_MAX: Final = 64_000_000  # bytes; a thousand inputs of 8,192 ids each
BODY_SECONDS_MAX: Final = 60.0  # until a body has arrived
_JSON: Final = (b"content-type", b"application/json")
TOKENS: Final = "tokens"  # a shared prefix is computed once, all of it
BLOCKS: Final = "blocks"  # its full blocks only, as vLLM does
_TRACE: Final = frozenset({"traceparent", "tracestate"})  # W3C Trace Context

TokenId = Annotated[int, msgspec.Meta(ge=0)]  # vLLM refuses ids that are too large, but would look up negative ones
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Ask(msgspec.Struct):
    """The body of `/classify` and `/pooling`, as far as it is supported: ids only."""

    input: list[list[TokenId]]
    model: str | None = None
    task: str | None = None
    cache_salt: str | None = None
    encoding_format: str = "float"


class Text(msgspec.Struct):
    """The body of `/tokenize`."""

    prompt: str
    model: str | None = None
    add_special_tokens: bool = True


class Door:
    """The HTTP side, as an ASGI application."""

    def __init__(self, engine: Any, turns: Turns, *, name: str, root: str, shares: str) -> None:
        self._turns = turns
        self._name = name
        self._card = {
            "id": name,
            "object": "model",
            "owned_by": "vllm",
            "root": root,
            "max_model_len": engine.model_config.max_model_len,
            "max_num_batched_tokens": engine.vllm_config.scheduler_config.max_num_batched_tokens,
            "compiled": not engine.model_config.enforce_eager,
            "dtype": str(engine.model_config.dtype).removeprefix("torch."),
            "shared_prefix": shares,
        }
        self._tokenizer = engine.get_tokenizer()
        self._tasks = frozenset(engine.get_supported_tasks())
        self._is_traced = engine.vllm_config.observability_config.otlp_traces_endpoint is not None
        self._routes: dict[str, Callable[[bytes, Receive, Trace], Awaitable[bytes]]] = {
            TOKENIZE: self._tokens,
            POOLING: self._pool,
        }
        if "classify" in self._tasks:
            self._routes[CLASSIFY] = self._classify
        self._shown: dict[str, Callable[[], bytes]] = {
            "/health": bytes,
            "/metrics": generate_latest,  # vLLM's own metrics; always as text
            "/openapi.json": self._describe,
            "/v1/models": lambda: msgspec.json.encode({"object": "list", "data": [self._card]}),
            "/version": lambda: msgspec.json.encode({"version": vllm.__version__}),
        }

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "there are no websockets and no lifespan here"
        method, path = scope["method"], scope["path"]
        route = self._routes.get(path)
        try:
            if method == "GET" and path in self._shown:
                status, content = 200, self._shown[path]()
            elif method != "POST" or route is None:
                status, content = 404, msgspec.json.encode({"detail": "Not Found"})
            else:
                trace = _trace_headers(scope) if self._is_traced else None
                status, content = 200, await route(await _body(receive), receive, trace)
        except _Left:
            return
        except Refused as refused:
            said = {"message": str(refused), "type": "BadRequestError", "code": refused.status}
            status, content = refused.status, msgspec.json.encode({"error": said})
        headers = [_JSON, (b"content-length", str(len(content)).encode("ascii"))]
        if status in (408, 413):
            headers.append((b"connection", b"close"))  # the rest of such a body is not read
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _describe(self) -> bytes:
        paths: dict[str, dict[str, object]] = {path: {} for path in (*self._shown, *self._routes)}
        return msgspec.json.encode({"openapi": "3.1.0", "info": {"title": "vLLM, by winnow"}, "paths": paths})

    async def _tokens(self, body: bytes, _receive: Receive, _trace: Trace) -> bytes:
        text = _decode(body, Text)
        self._require_name(text.model)
        tokens = self._tokenizer.encode(text.prompt, add_special_tokens=text.add_special_tokens)
        return msgspec.json.encode({"tokens": tokens, "count": len(tokens)})

    async def _classify(self, body: bytes, receive: Receive, trace: Trace) -> bytes:
        ask = _decode(body, Ask)
        rows = await self._compute(ask, "classify", receive, trace)
        return _reply(ask, self._name, [{"index": place, "probs": row.tolist()} for place, row in enumerate(rows)])

    async def _pool(self, body: bytes, receive: Receive, trace: Trace) -> bytes:
        ask = _decode(body, Ask)
        task = ask.task or next((task for task in ("classify", "embed") if task in self._tasks), "embed")
        rows = await self._compute(ask, task, receive, trace)
        written = _base64 if ask.encoding_format == "base64" else _numbers
        return _reply(ask, self._name, [{"index": place, "data": written(row)} for place, row in enumerate(rows)])

    async def _compute(self, ask: Ask, task: str, receive: Receive, trace: Trace) -> list[Any]:
        """Raises `Refused`, and `_Left` when the caller hangs up; the engine then drops the work."""
        self._require_name(ask.model)
        if not ask.input:
            raise Refused(400, "input: at least one list of token ids is required")
        params = vllm.PoolingParams(task=task)
        job = Job(ask.input, params, asyncio.get_running_loop(), salt=ask.cache_salt, trace=trace)
        self._turns.put(job)
        leaving = asyncio.ensure_future(receive())  # after the body, only a disconnect can follow
        try:
            await asyncio.wait((job.done, leaving), return_when=asyncio.FIRST_COMPLETED)
            if job.done.done():
                return job.done.result()
            raise _Left
        finally:
            leaving.cancel()
            if not job.done.done():
                job.done.cancel()
                self._turns.drop(job)

    def _require_name(self, name: str | None) -> None:
        if name not in (None, self._name):
            raise Refused(404, f"The model `{name}` does not exist.")


class _Left(Exception):
    """The caller hung up."""


async def _body(receive: Receive) -> bytes:
    """Read the body. Raises `_Left`, and `Refused` for a body that is too long or too slow."""
    reading = asyncio.ensure_future(_parts(receive))
    try:
        done, _ = await asyncio.wait((reading,), timeout=BODY_SECONDS_MAX)
    finally:
        reading.cancel()
    if not done:
        raise Refused(408, f"the body did not arrive within {BODY_SECONDS_MAX:g} s")
    return b"".join(reading.result())


async def _parts(receive: Receive) -> list[bytes]:
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Left
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > BODY_BYTES_MAX:
            raise Refused(413, f"the body has more than {BODY_BYTES_MAX:,} bytes")
        if not message.get("more_body"):
            return parts


def _trace_headers(scope: MutableMapping[str, Any]) -> dict[str, str]:
    named = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
    return {name: value for name, value in named if name in _TRACE}


def _decode(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Refused(400, str(error)) from error


def _reply(ask: Ask, name: str, data: list[dict[str, Any]]) -> bytes:
    read = sum(map(len, ask.input))
    usage = {"prompt_tokens": read, "total_tokens": read}
    return msgspec.json.encode({"object": "list", "model": name, "data": data, "usage": usage})


def _numbers(row: Any) -> list[float]:
    numbers: list[float] = row.float().tolist()
    return numbers


def _base64(row: Any) -> str:
    return base64.b64encode(row.float().numpy().astype("<f4").tobytes()).decode("ascii")


def _engine(args: Namespace) -> Any:
    if args.overlap_steps:
        # The scheduler for generation would compute one more token of every input that is still on the GPU.
        args.async_scheduling, args.scheduler_cls = True, Scheduler
    capture_steps(args.compilation_config, args.graph_tokens, step_tokens=args.max_num_batched_tokens)
    config = AsyncEngineArgs.from_cli_args(args).create_engine_config(UsageContext.OPENAI_API_SERVER)
    return LLMEngine(
        vllm_config=config,
        executor_class=Executor.get_class(config),
        log_stats=not args.disable_log_stats,
        usage_context=UsageContext.OPENAI_API_SERVER,
        multiprocess_mode=False,  # the reason for this program
    )


def _turns(engine: Any, wanted: str) -> tuple[Turns, str]:
    """Share prefixes to the token if wanted and possible. Returns the loop, and how it shares them."""
    obstacle = why_not(engine) if wanted == TOKENS else "as wanted"
    if obstacle is not None:
        return Turns(engine, None), f"{BLOCKS}, {obstacle}"
    prefix = SharedPrefix(engine)
    turns = Turns(engine, prefix)
    obstacle = prefix.try_out(turns.raw, engine.model_config.get_vocab_size())
    return turns, TOKENS if obstacle is None else f"{BLOCKS}, {obstacle}"


def _arguments() -> Namespace:
    """vLLM's flags, and those of its server that `winnow vllm-command` uses."""
    parser = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser(description="vLLM's engine behind winnow's front."))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--disable-uvicorn-access-log", action="store_true", help="accepted; there is no access log")
    parser.add_argument("--shared-prefix", choices=(TOKENS, BLOCKS), default=TOKENS, help="computed once: to the token")
    parser.add_argument(
        "--overlap-steps",
        action=BooleanOptionalAction,
        default=current_platform.is_cuda_alike(),
        help="launch a step while the last one computes; by default on a GPU",
    )
    parser.add_argument(
        "--graph-tokens",
        type=int,
        default=GRAPH_TOKENS if current_platform.is_cuda_alike() else 0,
        help="capture steps of at most so many tokens as CUDA graphs; 0: those that vLLM captures",
    )
    return parser.parse_args()


def main() -> None:
    args = _arguments()
    family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
    # Before the minutes of loading, so that a port in use is reported at once.
    listening = socket.create_server((args.host, args.port), family=family, backlog=_BACKLOG)
    engine = _engine(args)
    turns, shares = _turns(engine, args.shared_prefix)
    name = args.served_model_name[0] if args.served_model_name else args.model
    door = Door(engine, turns, name=name, root=args.model, shares=shares)
    config = uvicorn.Config(door, lifespan="off", log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    http = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="http", daemon=True)
    signal.signal(signal.SIGTERM, lambda *_: turns.stop())
    signal.signal(signal.SIGINT, lambda *_: turns.stop())
    gc.collect()
    gc.freeze()  # objects of the startup stay; scanning them again and again would sometimes cost a request 100 ms
    http.start()
    turns.run()
    server.should_exit = True
    http.join()
    engine.engine_core.shutdown()


if __name__ == "__main__":
    main()
