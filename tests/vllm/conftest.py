"""A real vLLM for the session: one server of each bundled model, started when the first test wants it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.fidelity import chat_template
from tests.observe.otlp_receiver import OtlpReceiver, receiving
from tests.vllm.servers import PYTHON, composed_flags, vllm
from winnow.api.vllm.command import FRONT
from winnow.retrieval.model.folder import BUNDLED_EMBEDDER, BUNDLED_RERANKER, ModelFolder, find_model

SKIPPED = "WINNOW_VLLM_PYTHON names no python that has vllm; `make test` makes one, on Linux on x86-64 with AVX2"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that starts a server is of one kind, wherever it may run."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("vllm") and not PYTHON:
            item.add_marker(pytest.mark.skip(reason=SKIPPED))


@pytest.fixture(scope="session")
def reranker() -> ModelFolder:
    return find_model(BUNDLED_RERANKER, kind="reranker")


@pytest.fixture(scope="session")
def embedder() -> ModelFolder:
    return find_model(BUNDLED_EMBEDDER, kind="embedder")


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vllm")


@pytest.fixture(scope="session")
def template(logs: Path) -> Path:
    """What vLLM's own /v1/rerank needs to build a right prompt. Ours asks it for none."""
    file = logs / "rerank.jinja"
    file.write_text(chat_template(), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def spans() -> Iterator[OtlpReceiver]:
    """What the servers of winnow-rerank send of their work."""
    with receiving() as receiver:
        yield receiver


# Five servers take 14 GB: none outlives the tests of this folder.
@pytest.fixture(scope="package")
def judge_url(reranker: ModelFolder, logs: Path, template: Path, spans: OtlpReceiver) -> Iterator[str]:
    """winnow-rerank in float32, so that what differs from this process is the way and not the rounding."""
    flags = (*composed_flags("rerank"), f"--chat-template={template}", traced(spans))
    with vllm(reranker.path, logs / "rerank.log", *flags) as url:
        yield url


@pytest.fixture(scope="package")
def rounding_url(reranker: ModelFolder, logs: Path, template: Path) -> Iterator[str]:
    """The same in bfloat16."""
    flags = (*composed_flags("rerank"), f"--chat-template={template}")
    with vllm(reranker.path, logs / "rerank-bf16.log", *flags, dtype="bfloat16") as url:
        yield url


@pytest.fixture(scope="package")
def embed_url(embedder: ModelFolder, logs: Path) -> Iterator[str]:
    """winnow-embed in float32."""
    with vllm(embedder.path, logs / "embed.log", *composed_flags("embed")) as url:
        yield url


@pytest.fixture(scope="package")
def front_judge_url(reranker: ModelFolder, logs: Path, spans: OtlpReceiver) -> Iterator[str]:
    """The same as `judge_url`, behind our own front, whose steps overlap as they do on a GPU."""
    flags = (*composed_flags("rerank"), traced(spans), "--overlap-steps")
    with vllm(reranker.path, logs / "rerank-front.log", *flags, program=(str(FRONT),)) as url:
        yield url


@pytest.fixture(scope="package")
def front_embed_url(embedder: ModelFolder, logs: Path) -> Iterator[str]:
    """The same as `embed_url`, behind our own front."""
    with vllm(embedder.path, logs / "embed-front.log", *composed_flags("embed"), program=(str(FRONT),)) as url:
        yield url


def traced(spans: OtlpReceiver) -> str:
    return f"--otlp-traces-endpoint={spans.url}/v1/traces"
