"""Client of one vLLM server. (The only module that names the HTTP client.)

Rule 1: ids, never text: the server must not render a template or truncate (its shipped reranker template ends in the
wrong token, and its truncation removes the suffix). It refuses inputs longer than its window, and so do we.
Rule 2: a reply is checked before it becomes data: count, order, shape, range, finiteness, and that it read as many
tokens as were sent. Anything else is the server's failure, never a score.
Rule 3: one call is one request. retrieval/vllm/pool.py decides what goes into a request and to which server.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import httpx2
import numpy as np
import orjson

from winnow.retrieval.deadline import Deadline
from winnow.retrieval.records import Vectors
from winnow.retrieval.tracing import call, propagate

REQUEST_SECONDS_MAX: Final = 120.0  # seconds; a server that is silent for longer is gone
_CONNECT_SECONDS_MAX: Final = 2.0  # seconds; a host that takes longer to connect is not there
_CONNECTIONS_MAX: Final = 256  # to one server; the tokens in flight limit them long before
_KEPT_ALIVE_SECONDS: Final = 4.0  # vLLM closes connections that were idle for five
_TRIES: Final = 2  # it may close one just then, which is worth one retry; nothing else is
_SAID_BYTES: Final = 300  # of a refusal's body, for the operator
_JSON: Final = {"Content-Type": "application/json"}
_BUSY: Final = frozenset({httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE})
_NO_ROUTE: Final = frozenset({httpx2.codes.NOT_FOUND, httpx2.codes.METHOD_NOT_ALLOWED, httpx2.codes.NOT_IMPLEMENTED})
_PORTS: Final = {"http": 80, "https": 443}
_CLASSIFY: Final = "/classify"
_POOLING: Final = "/pooling"
_RERANK: Final = "/v1/rerank"


class Fault(StrEnum):
    """How a call failed, which decides what may follow."""

    GONE = "gone"  # no connection, or it ended before the answer
    BUSY = "busy"  # the server says so
    BROKEN = "broken"  # the answer is invalid
    SILENT = "silent"  # no answer in time


class CallFailed(Exception):
    """A server did not answer a call. `detail` tells the operator the address and what was seen."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server reports about itself."""

    model: str  # the name that it expects in requests
    root: str | None  # where it loaded the model from: a hub name or a folder
    tokens_max: int | None  # the longest input that it accepts
    paths: frozenset[str]  # its routes; empty if it does not tell
    version: str | None = None  # of vLLM
    step_tokens: int | None = None  # the most that one step computes; only our own front tells
    is_compiled: bool | None = None  # only our own front tells
    dtype: str | None = None  # number type, such as bfloat16; only our own front tells


class VllmClient:
    """Client of the server at `url` (scheme, host, port). Use and `close()` it in one event loop.

    Every call raises `CallFailed`.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parsed = httpx2.URL(self.url)
        port = parsed.port or _PORTS.get(parsed.scheme, 0)
        self._server: dict[str, str | int] = {"server.address": parsed.host, "server.port": port}
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS_MAX),  # the deadline limits the rest
            limits=httpx2.Limits(max_connections=_CONNECTIONS_MAX, keepalive_expiry=_KEPT_ALIVE_SECONDS),
            trust_env=False,  # only api/settings.py reads the environment: no accidental proxy
        )
        self._model: str | None = None
        self._classify_path = _CLASSIFY

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def classify(self, inputs: Sequence[Sequence[int]], *, salt: str, deadline: Deadline) -> list[float]:
        """Return the probability that a reranker's head gives each input: sigmoid(logit_yes - logit_no), in [0, 1].

        Cached prefixes are shared only among calls with the same `salt`. A head with another number of classes is a
        broken answer.
        """
        path = self._classify_path
        try:
            rows = await self._classify_on(path, inputs, salt, deadline)
        except _NoSuchRoute:
            path = _POOLING if path == _CLASSIFY else _CLASSIFY
            rows = await self._classify_on(path, inputs, salt, deadline)
            self._classify_path = path  # only now: concurrent calls must not switch it under one another
        return [self._probability(path, row) for row in rows]

    async def embed(self, inputs: Sequence[Sequence[int]], *, width: int, salt: str, deadline: Deadline) -> Vectors:
        """Return the pooled vector of each input, (len(inputs), width), as the server sends it.

        A model of another width is a broken answer. This calls the general route, not OpenAI's: for that one vLLM tries
        to match every token against each possible body, which takes longer than a small model.
        """
        wanted = {"task": "embed", "encoding_format": "base64", "cache_salt": salt}  # exact float32, in fewer bytes
        vectors = np.empty((len(inputs), width), dtype=np.float32)
        for place, row in enumerate(await self._call(_POOLING, inputs, wanted, deadline)):
            vectors[place] = self._vector(row, width)
        return vectors

    async def ping(self, deadline: Deadline) -> None:
        """Check that the server is there."""
        await self._fetch_model(deadline)

    async def facts(self, deadline: Deadline) -> ServerFacts:
        """Ask what the server is; never cached, since it may have restarted as another."""
        served = await self._fetch_model(deadline)
        try:
            described = await self._request("GET", "/openapi.json", deadline)
        except _NoSuchRoute:
            described = {}
        try:
            version = (await self._request("GET", "/version", deadline)).get("version")
        except _NoSuchRoute:
            version = None
        paths = described.get("paths")
        root, tokens_max = served.get("root"), served.get("max_model_len")
        step, is_compiled = served.get("max_num_batched_tokens"), served.get("compiled")
        dtype = served.get("dtype")
        return ServerFacts(
            model=served["id"],
            root=root if isinstance(root, str) else None,
            tokens_max=tokens_max if type(tokens_max) is int else None,
            paths=frozenset(paths) if isinstance(paths, dict) else frozenset(),
            version=version if isinstance(version, str) else None,
            step_tokens=step if type(step) is int else None,
            is_compiled=is_compiled if isinstance(is_compiled, bool) else None,
            dtype=dtype if isinstance(dtype, str) else None,
        )

    async def tokenise(self, text: str, deadline: Deadline) -> list[int] | None:
        """Tokenise a text with the server's own tokenizer; None if it cannot."""
        body = {"model": await self._model_name(deadline), "prompt": text, "add_special_tokens": False}
        try:
            reply = (await self._request("POST", "/tokenize", deadline, body)).get("tokens")
        except _NoSuchRoute:
            return None
        if not isinstance(reply, list) or not all(type(token) is int for token in reply):
            raise self._broken("/tokenize", "the reply contains no tokens")
        return reply

    async def rerank(self, query: str, passages: Sequence[str], deadline: Deadline) -> list[float] | None:
        """Return the scores that the server gives texts, in its own prompt; None if it does not rerank texts.

        Only to tell an operator whether the server has a chat template, and the right one.
        """
        body = {"model": await self._model_name(deadline), "query": query, "documents": list(passages)}
        try:
            rows = (await self._request("POST", _RERANK, deadline, body)).get("results")
        except _NoSuchRoute:
            return None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._broken(_RERANK, "the reply contains no rows")
        found = {row.get("index"): row.get("relevance_score") for row in rows}
        scores = [found.get(place) for place in range(len(passages))]
        if not all(isinstance(score, float | int) for score in scores):
            raise self._broken(_RERANK, "the reply has no score for a passage")
        return [float(score) for score in scores if score is not None]

    async def _classify_on(
        self, path: str, inputs: Sequence[Sequence[int]], salt: str, deadline: Deadline
    ) -> list[dict[str, Any]]:
        """Versions that lack this route have the general one."""
        options = {"cache_salt": salt} | ({"task": "classify"} if path == _POOLING else {})
        return await self._call(path, inputs, options, deadline)

    async def _call(
        self, path: str, inputs: Sequence[Sequence[int]], options: dict[str, str], deadline: Deadline
    ) -> list[dict[str, Any]]:
        """Return the reply's rows in the order of the inputs, each exactly once."""
        body = {"model": await self._model_name(deadline), "input": inputs, **options}
        reply = await self._request("POST", path, deadline, body)
        rows, usage = reply.get("data"), reply.get("usage")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._broken(path, "the reply contains no rows")
        places = [row.get("index") for row in rows]
        if not all(type(place) is int for place in places) or sorted(places) != list(range(len(inputs))):
            raise self._broken(path, f"the reply has {len(rows)} rows for {len(inputs)} inputs, or not one for each")
        sent = sum(map(len, inputs))
        if isinstance(usage, dict) and usage.get("prompt_tokens", sent) != sent:
            raise self._broken(path, f"the server read {usage['prompt_tokens']} tokens, but {sent} were sent")
        return sorted(rows, key=lambda row: int(row["index"]))

    def _probability(self, path: str, row: dict[str, Any]) -> float:
        found = row.get("data" if path == _POOLING else "probs")
        if not isinstance(found, list) or len(found) != 1:
            raise self._broken(path, "a row without exactly one score; check the model's head")
        score = found[0]
        if type(score) not in (float, int) or not 0.0 <= score <= 1.0:
            raise self._broken(path, f"the score {score!r} is not a probability")
        return float(score)

    def _vector(self, row: dict[str, Any], width: int) -> Vectors:
        written = row.get("data")
        try:
            found = np.frombuffer(base64.b64decode(written or "", validate=True), dtype="<f4")
        except (binascii.Error, TypeError, ValueError) as error:  # no text, no base64, or no whole number of float32
            raise self._broken(_POOLING, f"a row without a vector: {error}") from error
        if len(found) != width:
            raise self._broken(_POOLING, f"a vector of {len(found)} numbers; the local model has {width}")
        if not np.isfinite(found).all():
            raise self._broken(_POOLING, "a vector with a number that is not finite")
        return found

    async def _model_name(self, deadline: Deadline) -> str:
        """The name that the server expects in requests; asked once."""
        if self._model is None:
            self._model = (await self._fetch_model(deadline))["id"]
        return self._model

    async def _fetch_model(self, deadline: Deadline) -> dict[str, Any]:
        served = (await self._request("GET", "/v1/models", deadline)).get("data")
        first = served[0] if isinstance(served, list) and served else None
        if not isinstance(first, dict) or not isinstance(first.get("id"), str):
            raise self._broken("/v1/models", "the server lists no model")
        return first

    async def _request(self, method: str, path: str, deadline: Deadline, body: object = None) -> dict[str, Any]:
        seconds = min(deadline.remaining_seconds, REQUEST_SECONDS_MAX)
        if not seconds:
            raise CallFailed(Fault.SILENT, f"{self.url}{path}: not called, the deadline has passed")
        with call(f"{method} {path}") as calling:
            calling.note({"http.request.method": method, "url.full": self.url + path, **self._server})
            response = await self._respond(method, path, body, seconds)
            calling.note({"http.response.status_code": response.status_code})
            if response.status_code != httpx2.codes.OK:
                calling.note_failure(str(response.status_code))
        if response.status_code in _BUSY:
            raise CallFailed(Fault.BUSY, f"{self.url}{path}: status {response.status_code}")
        if response.status_code != httpx2.codes.OK:
            self._model = None  # it may have restarted with another model
            beginning = response.content[:_SAID_BYTES].decode(errors="replace")  # whatever charset it claims to have
            reply = f"{self.url}{path}: status {response.status_code}: {beginning}"
            is_of_a_model = body is not None and b'"error"' in response.content
            is_unknown = response.status_code in _NO_ROUTE and not is_of_a_model
            raise _NoSuchRoute(reply) if is_unknown else CallFailed(Fault.BROKEN, reply)
        return self._object(path, response.content)

    async def _respond(self, method: str, path: str, body: object, seconds: float) -> httpx2.Response:
        try:
            async with asyncio.timeout(seconds):  # ending a call closes its connection, and vLLM then drops its work
                return await self._send(method, path, body)
        except TimeoutError as error:
            raise CallFailed(Fault.SILENT, f"{self.url}{path}: no answer within {seconds:.1f} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            self._model = None  # the server may come back with another model
            raise CallFailed(Fault.GONE, f"{self.url}{path}: {error!r}") from error

    async def _send(self, method: str, path: str, body: object) -> httpx2.Response:
        """Send a request. Scoring changes nothing on the server, so it is safe to retry after a closed connection."""
        content = None if body is None else orjson.dumps(body)
        headers = dict(_JSON)
        propagate(headers)
        for _ in range(_TRIES - 1):
            try:
                return await self._http.request(method, self.url + path, content=content, headers=headers)
            except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                continue
        return await self._http.request(method, self.url + path, content=content, headers=headers)

    def _object(self, path: str, content: bytes) -> dict[str, Any]:
        try:
            reply = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise self._broken(path, "the reply is not JSON") from error
        if not isinstance(reply, dict):
            raise self._broken(path, "the reply is not a JSON object")
        return reply

    def _broken(self, path: str, what: str) -> CallFailed:
        return CallFailed(Fault.BROKEN, f"{self.url}{path}: {what}")


class _NoSuchRoute(CallFailed):
    """The server has no such route.

    An unknown model gets the same status, with an `error`, if the body named one.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(Fault.BROKEN, detail)
