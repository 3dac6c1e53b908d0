"""What doctor says of models of each kind."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.tiny_foreign_models import write_bert, write_bert_embedder
from tests.tiny_models import write_embedder, write_reranker
from winnow.api.diagnostics import doctor
from winnow.api.diagnostics.doctor import examined, memory_found, quantization_found
from winnow.api.settings import Quantization, Settings

OF_QWEN = ("<think>", "9693", "Instruct: ", "<|endoftext|>", "vLLM", "merges.txt")


def test_the_doctor_tells_the_memory(tmp_path: Path) -> None:
    """What the models take, and what is left; on a system that does not tell, nothing."""
    (found,) = memory_found(621_000_000, 8_000_000_000)
    assert found.found == "621 MB taken by this process with its models, 8,000 MB available"
    assert list(memory_found(None, 8_000_000_000)) == list(memory_found(621_000_000, None)) == []
    settings = Settings(
        data=tmp_path / "data",
        embed_model=str(write_embedder(tmp_path / "e")),
        rerank_model=str(write_reranker(tmp_path / "r")),
        device="cpu",
    )
    assert [each.what for each in asyncio.run(examined(settings)).findings][-1] == "memory"


@pytest.mark.parametrize("is_foreign", [True, False])
def test_the_causes_named_are_those_of_the_kind_of_model(tmp_path: Path, *, is_foreign: bool) -> None:
    """Random weights of every kind fail; advice on Qwen3's prompt helps with a Qwen3 only."""
    embedder = write_bert_embedder(tmp_path / "e") if is_foreign else write_embedder(tmp_path / "e")
    reranker = write_bert(tmp_path / "r") if is_foreign else write_reranker(tmp_path / "r")
    settings = Settings(
        data=tmp_path / "data", embed_model=str(embedder), rerank_model=str(reranker), device="cpu", dtype="float32"
    )
    found = asyncio.run(examined(settings))
    assert not found.is_well
    assert [each.kind for each in found.answers] == ["embedder", "reranker"]
    for answers in found.answers:
        causes = " ".join(answers.likely_causes)
        assert any(words in causes for words in OF_QWEN) != is_foreign, causes
        assert "Weights: " in causes
        assert "Rounding: " not in causes
    if is_foreign:
        assert "--embed-query-prefix" in " ".join(found.answers[0].likely_causes)


@pytest.mark.parametrize(
    ("capability", "quantization", "problem"),
    [
        ((9, 0), "fp8-per-block", None),
        ((8, 0), "fp8-per-channel", r"fp8-per-channel needs .*GPU 0 \(A100\) has 8\.0"),
        (None, "fp8", "fp8 needs a GPU, but vLLM runs on the CPU"),
        ((8, 0), "none", None),
    ],
)
def test_the_doctor_names_what_quantising_lacks(
    tmp_path: Path, capability: tuple[int, int] | None, quantization: Quantization, problem: str | None
) -> None:
    """As the Python that has vLLM sees the machine; nothing is asked where nothing is to be quantised."""
    gpu = {"id": "0", "name": "A100", "memory": 80_000_000_000, "free": 80_000_000_000, "capability": capability}
    python = tmp_path / "python"
    told = {"vllm": "0.32.0", "traces": False, "gpus": [gpu] if capability else []}
    python.write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n", encoding="utf-8")
    python.chmod(0o700)
    found = list(quantization_found(Settings(quantization=quantization, vllm_python=str(python))))
    assert [each.found for each in found] == {
        "none": [],
        "fp8-per-block": ["fp8-per-block by vLLM 0.32.0 on A100 (80 GB)"],
    }.get(quantization, [quantization])
    if problem is None:
        assert all(each.problem is None for each in found)
    else:
        assert re.search(problem, str(found[0].problem))


@pytest.mark.parametrize(
    ("bfloat16", "int8", "said"),
    [
        (("AMX",), ("AMX", "AVX512-VNNI"), "--dtype bf16-mixed by AMX, --dtype int8-dynamic by AMX and AVX512-VNNI"),
        ((), ("AVX512-VNNI",), "no --dtype bf16-mixed, --dtype int8-dynamic by AVX512-VNNI"),
        ((), (), "no --dtype bf16-mixed, no --dtype int8-dynamic"),
    ],
)
def test_the_doctor_names_the_number_types_that_the_processor_multiplies(
    monkeypatch: pytest.MonkeyPatch, bfloat16: tuple[str, ...], int8: tuple[str, ...], said: str
) -> None:
    """It is what decides between settings, so it is said where none is configured."""
    monkeypatch.setattr(doctor, "bfloat16_instructions", lambda: bfloat16)
    monkeypatch.setattr(doctor, "int8_instructions", lambda: int8)
    found = doctor._machine()
    assert found.found.endswith(f"CPU cores, {said}")
    assert found.problem is None
