"""A vLLM server with another number type moves the answers of a golden set, and the cause is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes import HashEmbedder
from tests.unit.api.stability.watched import causes, fill, run, serving
from winnow.api.assemble import wire
from winnow.api.model_loading import LoadedEmbedder, load_reranker
from winnow.api.settings import Settings
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.tokenizer import PlainTokenizer

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

READS = "builtin/legal-statutes"  # under the default instruction the bundled reranker has no weight


def run_with(folder: Path, url: str, reranker: ModelFolder) -> Any:
    """Run the golden set with the reranker on this server; the first time, make it."""
    settings = Settings(data=folder, rerank_url=(url,), replay_seconds=0)
    tokenizer = PlainTokenizer.load(reranker.path)
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    is_first = not folder.exists()
    with serving(wire(settings, embedding, load_reranker(settings))) as client:
        if is_first:
            fill(client, 30, instruction=READS, candidates=20)
        return run(client)


def test_another_number_type_is_numerics(
    reranker: ModelFolder, judge_url: str, rounding_url: str, tmp_path: Path
) -> None:
    """The same model in bfloat16; the server in float32 again gives what it gave before."""
    first, same, other, back = (
        run_with(tmp_path / "data", url, reranker) for url in (judge_url, judge_url, rounding_url, judge_url)
    )
    assert first["measures"] is None
    assert (causes(same), causes(back)) == ({}, {})
    assert same["measures"]["degraded"] == other["measures"]["degraded"] == 0.0
    print(f"bfloat16: {other['measures']}")
    assert causes(other) == {"numerics": "elimination"}
    assert 0.0 < other["measures"]["score_shift_max"] < 0.1
