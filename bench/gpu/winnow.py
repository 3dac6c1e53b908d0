"""winnow in front of a vLLM server with random weights: the service as it is, without the server check.

    python -m bench.gpu.winnow --url http://127.0.0.1:8002 --model FOLDER --port 8000 --data FOLDER --slice-tokens 8192

A server with random weights cannot pass the check, and winnow rightly rejects it. Here the check is skipped, and there
is no embedder, which POST /v1/rerank does not need. The rest is `winnow serve`: same parts, same app, same server.
"""

from __future__ import annotations

import argparse
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import uvicorn

from winnow.api.assemble import wire
from winnow.api.cli.serve import LOGGING
from winnow.api.collections.data_folder import DataFolder
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import load
from winnow.rerank import vllm_reranker
from winnow.rerank.vllm_reranker import FIRST_PORTION_TOKENS, RERANKER_FAILURES, SHARED_SECONDS, VllmReranker
from winnow.retrieval.catalog.keys import ALL_SCOPES, KeyWish
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import DEFAULT_TASK, EmbedderIdentity, Embeddings
from winnow.retrieval.errors import EmbedderUnavailable
from winnow.retrieval.limits import TIMEOUT_MS_MAX
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE
from winnow.retrieval.vllm.client import VllmClient
from winnow.retrieval.vllm.pool import VllmPool


class EmbedsNothing:
    """An `Embedder` for a service that only reranks."""

    @property
    def identity(self) -> EmbedderIdentity:
        return EmbedderIdentity(name="nothing", revision="none", dimension=8)

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings:
        self._refuse(len(texts), task)

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        self._refuse(len(texts), "")

    def _refuse(self, count: int, task: str) -> NoReturn:
        raise EmbedderUnavailable(f"this benchmark has no embedder ({count} texts, {task!r})")


async def taken_at_its_word(client: VllmClient, deadline: Deadline) -> None:
    """A `Proof` that always passes."""


def write_keys(data: Path, tenants: int) -> None:
    """Create tenants, and write their keys to `data`/keys.json."""
    data.mkdir(parents=True, exist_ok=True)
    disk = DataFolder.open(data)
    wish = KeyWish(scopes=ALL_SCOPES, note="benchmark")
    made = [disk.catalog.tenants.make(f"tenant-{number}", by=COMMAND_LINE).name for number in range(tenants)]
    keys = [disk.catalog.keys.make(name, wish, by=COMMAND_LINE).text for name in made]
    disk.catalog.database.close()
    (data / "keys.json").write_text(json.dumps(keys), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--slice-tokens", type=int, required=True)
    parser.add_argument("--tenants", type=int, default=0, help="with a key each, in DATA/keys.json; 0: no keys")
    parser.add_argument("--shared-seconds", type=float, default=SHARED_SECONDS, help="of work in flight while tenants")
    parser.add_argument("--first-portion", type=int, default=FIRST_PORTION_TOKENS, help="tokens that are sent first")
    arguments = parser.parse_args()
    vllm_reranker.FIRST_PORTION_TOKENS = arguments.first_portion  # type: ignore[misc]  to try another value
    vllm_reranker.SHARED_SECONDS = arguments.shared_seconds  # type: ignore[misc]  to try another value
    if arguments.tenants:
        write_keys(arguments.data, arguments.tenants)
    settings = load(
        {
            "data": arguments.data,
            "rerank_model": arguments.model,
            "rerank_url": arguments.url,
            "timeout_ms": TIMEOUT_MS_MAX,
        },
        environment={},
    )
    folder = find_model(settings.rerank_model, kind="reranker")
    pool = VllmPool(
        settings.rerank_url, RERANKER_FAILURES, proof=taken_at_its_word, slice_tokens=arguments.slice_tokens
    )
    reranker = VllmReranker.load(folder, pool, secret=secrets.token_bytes(32))
    embedding = LoadedEmbedder(
        embedder=EmbedsNothing(), tokenizer=PlainTokenizer.load(folder.path), runs_on="nothing", device="cpu"
    )
    judging = LoadedReranker(reranker=reranker, runs_on=reranker.runs_on, device="cuda", pool=pool)
    app = create_app(wire(settings, embedding, judging))
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_config=LOGGING, server_header=False)


if __name__ == "__main__":
    main()
