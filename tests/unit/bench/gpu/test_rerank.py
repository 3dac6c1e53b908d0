"""What the GPU benchmark compares is the same work, and what it reports is what it measured."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from transformers import AutoTokenizer

from bench.gpu.models import SHAPES, chat_template, write_folder
from bench.gpu.report import as_text
from bench.gpu.rows import Rows
from bench.gpu.texts import Requests
from bench.gpu.variants import flags_of, launcher_of
from tests.real_models import qwen_tokenizer
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import PromptBuilder

WINDOW = 1_024


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shape")
    write_folder(made, SHAPES["tiny"], qwen_tokenizer())
    return made


def test_the_template_given_to_vllm_renders_our_very_prompt(folder: Path) -> None:
    """Otherwise its /v1/rerank would be measured at other work, and with another last token at no work at all."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    query, documents = "怎样捕鱼？", ["The heron strikes.", " 长喙\n\n", "a"]
    prompts = PromptBuilder.load(folder, tokens_max=WINDOW).build(query, documents, DEFAULT_INSTRUCTION)
    for document, tail in zip(documents, prompts.tails, strict=True):
        said = [{"role": "query", "content": query}, {"role": "document", "content": document}]
        rendered = tokenizer.apply_chat_template(said, chat_template=chat_template(), tokenize=False)
        assert tokenizer(rendered)["input_ids"] == [*prompts.shared, *tail]


def test_both_bodies_of_a_request_hold_the_same_prompts_and_no_two_requests_a_same_document(folder: Path) -> None:
    requests = Requests(folder, documents=3, tokens_max=WINDOW)
    asked, other = (requests.draw(128, seed=seed) for seed in (1, 2))
    texts, ids = orjson.loads(asked.texts), orjson.loads(asked.ids)
    prompts = PromptBuilder.load(folder, tokens_max=WINDOW).build(
        texts["query"], texts["documents"], DEFAULT_INSTRUCTION
    )
    assert ids["input"] == [[*prompts.shared, *tail] for tail in prompts.tails]
    assert {len(tail) for tail in prompts.tails} == {128 + 9}  # the suffix has nine
    assert asked.prompt_tokens == sum(map(len, ids["input"]))
    assert asked.tokens == prompts.tokens
    assert set(texts["documents"]).isdisjoint(orjson.loads(other.texts)["documents"])


def test_a_bar_is_computed_against_the_fastest_stock_server(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl")
    rows.add("run", arguments={"layer_weights": 10**9})
    rows.add("card", bf16_tflops=100.0, fp8_tflops=200.0)
    for server, way, ms in (
        ("bf16-1", "stock", 300.0), ("bf16-2", "stock", 260.0), ("bf16-2", "bare", 190.0), ("bf16-2", "winnow", 200.0)
    ):  # fmt: skip
        vllm = {"e2e_ms": 0, "queue_ms": 0, "prefill_ms": 0, "tokens_cached": 0, "tokens_looked_up": 1}
        rows.add(
            "one", server=server, way=way, slice=None, phase="measured", length=128, ms=ms, documents=100,
            tokens=1_000, tokens_agree=True, only_shared_was_cached=True, vllm=vllm,
        )  # fmt: skip
    said = as_text(Rows.read(tmp_path / "rows.jsonl"))
    assert "winnow 200.0 ms, 10.0% of the bf16 floor, 1.30x stock bf16 one at a time, +5.3% over bare" in said


def test_a_variant_of_the_front_is_a_flag_or_a_launcher() -> None:
    """And a server without one runs as it is."""
    assert (flags_of(["front"]), launcher_of(["front"])) == ([], [])
    assert flags_of(["front", "blocks"]) == ["--shared-prefix", "blocks"]
    assert flags_of(["front", "serial"]) == ["--no-overlap-steps"]
    assert flags_of(["front", "graphs4096"]) == ["--graph-tokens", "4096"]
    program, seconds = launcher_of(["front", "switch500"])
    assert (Path(program).is_file(), float(seconds)) == (True, 0.0005)


def test_tenants_in_turn_are_compared_with_one(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl")
    said = {"server": "bf16-1", "way": "winnow", "slice": 65_536, "length": 128, "requests": 16, "documents": 1_600}
    rows.add("run", arguments={"layer_weights": 10**9})
    rows.add("many", **said, seconds=3.2, tokens=1, tokens_agree=True, ms=[900.0, 3_000.0])
    rows.add("tenants", **said, seconds=4.0, tokens=1, tokens_agree=True, ms=[400.0, 3_900.0])
    assert "tenants in turn: 400 docs/s, -20.0% beside one tenant; first answer after 400 ms" in as_text(rows)
