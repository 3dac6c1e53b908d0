"""One vLLM server, asked for scores and vectors of token ids (the only module that names the HTTP client).

Rule 1: ids, never text: the server must render no template and cut nothing (its shipped reranker template ends in the
wrong token, and its truncation removes the suffix). What is longer than its window it refuses, and so do we.
Rule 2: a reply is checked before it becomes data: count, order, shape, range, finiteness. Whatever else comes back is
the server's failure, never a score.
Rule 3: requests are bounded in tokens and follow each other, so that a deadline that passes leaves little behind.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import numpy as np
import orjson

from retrieval.deadline import Deadline
from retrieval.errors import UnavailableError
from retrieval.records import Vectors

REQUEST_SECONDS_MAX: Final = 120.0  # seconds; a server that is silent for longer is gone
REQUEST_TOKENS_MAX: Final = 65_536  # tokens of one request; 100 passages of 512 tokens go in one, which vLLM fills best
REQUEST_INPUTS_MAX: Final = 1_024  # inputs of one request; their vectors are at most 22 MB of reply
_CONNECT_SECONDS_MAX: Final = 5.0  # seconds; a host that takes longer to say hello is not there
_KEPT_ALIVE_SECONDS: Final = 4.0  # vLLM closes a connection that was idle for five
_TRIES: Final = 2  # it may close one just then, which is worth one more try; nothing else is
_SAID_CHARACTERS: Final = 300  # of a refusal's body, for the operator
_JSON: Final = {"Content-Type": "application/json"}
_BUSY: Final = frozenset({httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Which leaves of the error tree a caller wants for what can happen to its call."""

    timeout: type[UnavailableError]
    overloaded: type[UnavailableError]
    unavailable: type[UnavailableError]


class VllmClient:
    """Talks to `url` (scheme, host, port). Use it from one event loop; `close()` it there.

    Its calls raise the leaves of `failures`.
    """

    def __init__(self, url: str, failures: Failures) -> None:
        self.url = url.rstrip("/")
        self._failures = failures
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS_MAX),  # the deadline bounds the rest
            limits=httpx2.Limits(keepalive_expiry=_KEPT_ALIVE_SECONDS),
            trust_env=False,  # only api/settings.py reads the environment: no proxy by accident
        )
        self._model: str | None = None

    async def close(self) -> None:
        """Ends its connections."""
        await self._http.aclose()

    async def classify(self, inputs: Sequence[Sequence[int]], deadline: Deadline) -> list[float]:
        """The one probability that a reranker's head gives each input: sigmoid(logit_yes - logit_no), in [0, 1].

        A head with another number of classes is `unavailable`.
        """
        return [
            self._probability(row)
            for batch in _batches(inputs)
            for row in await self._asked("/classify", batch, {}, deadline)
        ]

    async def embed(self, inputs: Sequence[Sequence[int]], *, width: int, deadline: Deadline) -> Vectors:
        """The pooled vector of each input, (len(inputs), width), as the server has it.

        A model of another width is `unavailable`.
        """
        wanted = {"encoding_format": "base64"}  # float32 as it is, a quarter of the bytes of decimals
        vectors = np.empty((len(inputs), width), dtype=np.float32)
        place = 0
        for batch in _batches(inputs):
            for row in await self._asked("/v1/embeddings", batch, wanted, deadline):
                vectors[place] = self._vector(row, width)
                place += 1
        return vectors

    async def _asked(
        self, path: str, batch: Sequence[Sequence[int]], options: dict[str, str], deadline: Deadline
    ) -> list[dict[str, Any]]:
        """The reply's rows in the order of the inputs, each exactly once."""
        body = {"model": await self._served_model(deadline), "input": batch, **options}
        rows = (await self._request("POST", path, deadline, body)).get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._unavailable(path, "the reply has no rows")
        places = [row.get("index") for row in rows]
        if not all(type(place) is int for place in places) or sorted(places) != list(range(len(batch))):
            raise self._unavailable(path, f"{len(rows)} rows for {len(batch)} inputs, or not one for each")
        return sorted(rows, key=lambda row: int(row["index"]))

    def _probability(self, row: dict[str, Any]) -> float:
        found = row.get("probs")
        if not isinstance(found, list) or len(found) != 1:
            raise self._unavailable("/classify", "a row without exactly one score; was it started with the right head?")
        score = found[0]
        if type(score) not in (float, int) or not 0.0 <= score <= 1.0:
            raise self._unavailable("/classify", f"the score {score!r} is no probability")
        return float(score)

    def _vector(self, row: dict[str, Any], width: int) -> Vectors:
        written = row.get("embedding")
        try:
            found = np.frombuffer(base64.b64decode(written or "", validate=True), dtype="<f4")
        except (binascii.Error, TypeError, ValueError) as error:  # no text, no base64, or no whole number of float32
            raise self._unavailable("/v1/embeddings", f"a row without a vector: {error}") from error
        if len(found) != width:
            raise self._unavailable("/v1/embeddings", f"a vector of {len(found)} numbers; the model here has {width}")
        if not np.isfinite(found).all():
            raise self._unavailable("/v1/embeddings", "a vector with a number that is not finite")
        return found

    async def _served_model(self, deadline: Deadline) -> str:
        """The name that the server wants to hear; asked once."""
        if self._model is None:
            served = (await self._request("GET", "/v1/models", deadline)).get("data")
            first = served[0] if isinstance(served, list) and served else None
            if not isinstance(first, dict) or not isinstance(first.get("id"), str):
                raise self._unavailable("/v1/models", "it names no model")
            self._model = first["id"]
        return self._model

    async def _request(self, method: str, path: str, deadline: Deadline, body: object = None) -> dict[str, Any]:
        seconds = min(deadline.remaining_seconds, REQUEST_SECONDS_MAX)
        if not seconds:
            raise self._failures.timeout(f"{self.url}{path}: not asked any more")
        try:
            async with asyncio.timeout(seconds):
                response = await self._send(method, path, body)
        except TimeoutError as error:
            raise self._failures.timeout(f"{self.url}{path}: no answer within {seconds:.1f} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._unavailable(path, repr(error)) from error
        if response.status_code in _BUSY:
            raise self._failures.overloaded(f"{self.url}{path}: status {response.status_code}")
        if response.status_code != httpx2.codes.OK:
            self._model = None  # it may have been started again with another one
            raise self._unavailable(path, f"status {response.status_code}: {response.text[:_SAID_CHARACTERS]}")
        return self._object(path, response.content)

    async def _send(self, method: str, path: str, body: object) -> httpx2.Response:
        """Judging changes nothing on the server, so a call that met a closed connection may be made again."""
        content = None if body is None else orjson.dumps(body)
        for _ in range(_TRIES - 1):
            try:
                return await self._http.request(method, self.url + path, content=content, headers=_JSON)
            except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                continue
        return await self._http.request(method, self.url + path, content=content, headers=_JSON)

    def _object(self, path: str, content: bytes) -> dict[str, Any]:
        try:
            reply = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise self._unavailable(path, "the reply is not JSON") from error
        if not isinstance(reply, dict):
            raise self._unavailable(path, "the reply is no object")
        return reply

    def _unavailable(self, path: str, what: str) -> UnavailableError:
        return self._failures.unavailable(f"{self.url}{path}: {what}")


def _batches(inputs: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """In their order; an input longer than the bound is a batch by itself."""
    batch: list[Sequence[int]] = []
    tokens = 0
    for ids in inputs:
        if batch and (tokens + len(ids) > REQUEST_TOKENS_MAX or len(batch) == REQUEST_INPUTS_MAX):
            yield batch
            batch, tokens = [], 0
        batch.append(ids)
        tokens += len(ids)
    if batch:
        yield batch
