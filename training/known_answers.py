"""Writes a model's answers to the known pairs into its winnow.json, in float32 on a CPU.

`winnow doctor` compares them wherever the model runs. A vLLM server of this model is asked for the same, and rejected
if its answers differ. The bound for bfloat16 is twice what that number type moves them here, and at least 0.02.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Final

from training.export import write_json
from winnow.api.diagnostics.model_answers import ask_embedder, ask_reranker
from winnow.rerank.torch_reranker import TorchReranker
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.model.folder import ModelFolder, find_model
from winnow.retrieval.model.known_answers import BFLOAT16, FLOAT32, WITHIN, Text, only_order
from winnow.retrieval.model.published import Recognised, RecognisedBy

DECIMALS: Final = 4
_ROUNDING: Final = 2.0  # another device rounds elsewhere


async def scores_of(folder: ModelFolder, kind: str, dtype: str) -> dict[Text, float]:
    """The model's scores of the known pairs."""
    known = only_order("embedder" if kind == "embedder" else "reranker")
    model = Recognised(name=folder.name, by=RecognisedBy.NOTHING, known=known)
    if kind == "embedder":
        embedder = QwenEmbedder.load(folder, device="cpu", dtype=dtype)
        found = await ask_embedder(embedder, model, runs_on="cpu", dtype=dtype)
    else:
        reranker = TorchReranker.load(folder, device="cpu", dtype=dtype)
        found = await ask_reranker(reranker, model, runs_on="cpu", dtype=dtype)
    return {each.known.text: each.got for each in found.comparisons}


async def known_answers_of(folder: ModelFolder, kind: str) -> dict[str, object]:
    """The object that winnow.json keeps as `known_answers`."""
    exact, rounded = await scores_of(folder, kind, FLOAT32), await scores_of(folder, kind, BFLOAT16)
    moved = max(abs(rounded[text] - score) for text, score in exact.items())
    known = only_order("embedder" if kind == "embedder" else "reranker")
    return {
        "source": f"this model in float32 on a CPU (training/known_answers.py); bfloat16 moves them by {moved:.4f}",
        "within": WITHIN | {BFLOAT16: max(WITHIN[BFLOAT16], round(_ROUNDING * moved, 3))},
        "answers": [
            {
                "query": each.query,
                "passage": each.passage,
                "relevant": each.is_relevant,
                "score": round(exact[each.text], DECIMALS),
            }
            for each in known.answers
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    settings = parser.parse_args().folder / "winnow.json"
    said = json.loads(settings.read_text(encoding="utf-8"))
    found = find_model(str(settings.parent), kind=said["kind"])
    known = asyncio.run(known_answers_of(found, said["kind"]))
    write_json(settings, said | {"known_answers": known})
    print(json.dumps(known, ensure_ascii=False))


if __name__ == "__main__":
    main()
