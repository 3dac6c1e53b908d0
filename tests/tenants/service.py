"""A whole service over a folder on the disk, in this process: Lance, FAISS, the SQL catalog, folds in processes.

Only the models are fakes, so that ten thousand requests take minutes: `HashEmbedder` and `PrefersWord`; `bundled()` are
real ones.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from starlette.routing import Route

from tests.answers import CheckingClient
from tests.fakes import HashEmbedder, PrefersWord
from tests.tiny_models import write_embedder
from winnow.api.assemble import Services, wire
from winnow.api.collections.data_folder import DataFolder
from winnow.api.http.app import create_app
from winnow.api.http.log_redaction import RedactedFormatter
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker, load_embedding, load_reranker
from winnow.api.search.caches import Caches
from winnow.api.settings import Settings
from winnow.rerank.reranker import Reranker
from winnow.retrieval.catalog.keys import ALL_SCOPES, KeyWish
from winnow.retrieval.embed.embedder import Embedder
from winnow.retrieval.limits import TIMEOUT_MS_MAX
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT
from winnow.retrieval.webhook.allowed import parse_rules

Operation = tuple[str, str]  # method, and path as the app's table has it
WEBHOOK_HOSTS = parse_rules("hooks.example.org")  # nothing is sent there: no golden set is run
FOLD_CHUNKS: Final = 24  # unfolded chunks of a collection, beyond which an index is built


class Log(logging.Handler):
    """Keeps every line that the service would have written."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self.setFormatter(RedactedFormatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Service:
    """Runs until it is closed; `restart` ends it and starts another one over the same folder."""

    def __init__(
        self,
        root: Path,
        *,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
        tokenizer: PlainTokenizer | None = None,
        **settings: Any,
    ) -> None:
        self._embedding = LoadedEmbedder(
            embedder=embedder or HashEmbedder(),
            tokenizer=tokenizer or PlainTokenizer.load(write_embedder(root / "tokenizer")),
            runs_on="hash",
            device="cpu",
        )
        self._judging = LoadedReranker(reranker=reranker or PrefersWord("zq"), runs_on="words", device="cpu")
        self._settings = replace(
            Settings(data=root / "data"),
            **({"fold_chunks": FOLD_CHUNKS, "timeout_ms": TIMEOUT_MS_MAX, "webhook_hosts": WEBHOOK_HOSTS} | settings),
        )
        self._open = contextlib.ExitStack()
        self.log = Log()
        keys = DataFolder.open(self._settings.data, self._settings.catalog_url).catalog.keys
        self.operator = keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES), by=COMMAND_LINE).text
        self._begin()

    def _begin(self) -> None:
        self.parts: Services = wire(self._settings, self._embedding, self._judging, caches=Caches.of(self._settings))
        self.app: FastAPI = create_app(self.parts)
        self.client = self._open.enter_context(
            CheckingClient(self.app, base_url="http://search.example.org", raise_server_exceptions=False)
        )

    def restart(self) -> None:
        self._open.close()
        self._begin()

    def close(self) -> None:
        self._open.close()

    def ask(self, key: str, method: str, url: str, body: Any = None, *, form: Any = None, **headers: str) -> Any:
        """The answer; the client is the transport and adds nothing. `form` is sent in place of a body."""
        headers["authorization"] = f"Bearer {key}"
        headers["accept"] = "application/json, text/event-stream, */*"  # the first two are what /mcp insists on
        sent = {"json": body} if form is None else form
        return self.client.request(method, url, headers=headers, **sent)


@contextlib.contextmanager
def serving(root: Path, **more: Any) -> Iterator[Service]:
    """Its log is heard for as long as the block runs."""
    service = Service(root, **more)
    heard = logging.getLogger()
    level = heard.level
    heard.addHandler(service.log)
    heard.setLevel(logging.INFO)
    try:
        yield service
    finally:
        heard.setLevel(level)
        heard.removeHandler(service.log)
        service.close()


def bundled() -> dict[str, Any]:
    """The models of data/models, in place of the fakes."""
    embedding, judging = load_embedding(Settings()), load_reranker(Settings())
    return {"embedder": embedding.embedder, "reranker": judging.reranker, "tokenizer": embedding.tokenizer}


def operations_of(app: FastAPI) -> set[Operation]:
    """The app's own table of routes, so that none is forgotten."""
    return {(method, route.path) for route in _unfolded(app) for method in (route.methods or set()) - {"HEAD"}}


def _unfolded(holder: Any) -> Iterator[Route]:
    for route in holder.routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _unfolded(inner)
        elif isinstance(route, Route):
            yield route
