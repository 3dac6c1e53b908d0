"""Measures rerankers of several shapes: pairs per second of one CPU core, and memory.

    python -m bench.models                  all of them, each in a process of its own
    python -m bench.models --only minilm-l6 --rounds 3

Weights are random, except the bundled model's: speed and memory are those of the real model, scores are noise. The
tokenizers are small ones of the tests, so passages are cut by tokens, not by words. A folder is written to a temporary
place in bfloat16 and loaded as the service loads it: in float32 on a CPU.

One thread computes, and its own CPU time counts: so other work on the machine hardly changes the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.tiny_foreign_models import save_bert_tokenizer, save_qwen_tokenizer, save_xlm_tokenizer
from winnow.api.model_loading import load_reranker
from winnow.api.settings import Settings
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.model.folder import BUNDLED_RERANKER, find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import candidates_of

PASSAGE_TOKENS: Final = 150
QUERY: Final = "how long may a tenant ask for a refund"
SENTENCE: Final = "A tenant may ask for a refund within seven days of the contract. "
INSTRUCTION: Final = "Given a web search query, retrieve relevant passages that answer the query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A model, and how many pairs are scored at once: about as much work for each."""

    like: str  # the published models of this shape
    pairs: int
    write: Callable[[Path], None] | None = None  # None: the bundled model


def _save(model: object, folder: Path) -> None:
    model.bfloat16().eval().save_pretrained(folder)  # type: ignore[attr-defined]


def write_minilm(folder: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    save_bert_tokenizer(folder, 512)
    shape = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1_536, num_labels=1
    )
    _save(BertForSequenceClassification(shape), folder)


def write_bge_m3(folder: Path) -> None:
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    save_xlm_tokenizer(folder, 8_192)
    shape = XLMRobertaConfig(
        vocab_size=250_002, hidden_size=1_024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4_096,
        max_position_embeddings=8_194, type_vocab_size=1, num_labels=1,
    )  # fmt: skip
    _save(XLMRobertaForSequenceClassification(shape), folder)


def write_qwen3(folder: Path) -> None:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    save_qwen_tokenizer(folder)
    shape = Qwen3Config(
        vocab_size=151_669, hidden_size=1_024, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8,
        head_dim=128, intermediate_size=3_072, max_position_embeddings=40_960, tie_word_embeddings=True,
    )  # fmt: skip
    _save(Qwen3ForCausalLM(shape), folder)


MODELS: Final = {
    "bundled": Measured(like="winnow-rerank, bundled", pairs=40),
    "minilm-l6": Measured(like="cross-encoder/ms-marco-MiniLM-L6-v2", pairs=40, write=write_minilm),
    "bge-m3": Measured(like="BAAI/bge-reranker-v2-m3", pairs=4, write=write_bge_m3),
    "qwen3-0.6b": Measured(like="Qwen/Qwen3-Reranker-0.6B", pairs=4, write=write_qwen3),
}


def measure(name: str, *, rounds: int) -> dict[str, object]:
    """Score the pairs in this process; the fastest round counts, because other work can only slow it down.

    Call it in a process that computes with one thread.
    """
    chosen = MODELS[name]
    with tempfile.TemporaryDirectory() as place:
        model = BUNDLED_RERANKER
        if chosen.write is not None:
            folder = Path(place) / name
            # In another process: making a model takes more memory than using it.
            subprocess.run([sys.executable, "-m", "bench.models", "--write", name, str(folder)], check=True)
            model = str(folder)
        settings = Settings(data=Path(place), rerank_model=model, device="cpu")
        began = time.perf_counter()
        loaded = load_reranker(settings)
        loading = time.perf_counter() - began
        plain = PlainTokenizer.load(find_model(model, kind="reranker").path)
        found = [asyncio.run(_round(loaded.reranker, plain, chosen.pairs, turn)) for turn in range(rounds + 1)][1:]
    seconds, tokens = min(found)
    return {
        "model": name,
        "like": chosen.like,
        "runs_on": loaded.runs_on.partition(" on ")[2],
        "pairs_per_core_second": round(chosen.pairs / seconds, 1),
        "tokens_per_pair": round(tokens / chosen.pairs),
        "seconds_to_load": round(loading, 1),
        "rss_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000),
    }


async def _round(reranker: object, plain: PlainTokenizer, pairs: int, turn: int) -> tuple[float, int]:
    texts = [_passage(plain, f"{turn} {number} ") for number in range(pairs)]
    began = time.process_time()
    ranking = await reranker.rank(  # type: ignore[attr-defined]
        QUERY, candidates_of(texts), instruction=INSTRUCTION, tenant="bench", deadline=Deadline.never()
    )
    return time.process_time() - began, ranking.tokens


def _passage(plain: PlainTokenizer, beginning: str) -> str:
    text = beginning + SENTENCE * 40
    return text[: plain.offsets(text)[PASSAGE_TOKENS][0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MODELS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", nargs=2, metavar=("MODEL", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        name, folder = arguments.write
        writer = MODELS[name].write
        assert writer is not None, "the bundled model is there. This is a bug."
        writer(Path(folder))
        return
    if arguments.only:
        print(json.dumps(measure(arguments.only, rounds=arguments.rounds)))
        return
    for name in MODELS:
        rounds = str(arguments.rounds)
        command = ["env", "OMP_NUM_THREADS=1", sys.executable, "-m", "bench.models", "--only", name, "--rounds", rounds]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
