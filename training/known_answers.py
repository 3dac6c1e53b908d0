"""Writes a model's answers to the known pairs into its winnow.json, in float32 on a CPU.

A vLLM server of this model is asked for the same, and is rejected if its answers differ.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from training.export import write_json
from winnow.api.diagnostics.probe import Probed, probe_embedder, probe_reranker
from winnow.rerank.torch_reranker import TorchReranker
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.model.folder import find_model

DECIMALS = 4


async def answers_of(folder: str, kind: str) -> tuple[Probed, ...]:
    if kind == "embedder":
        found = find_model(folder, kind="embedder")
        return await probe_embedder(QwenEmbedder.load(found, device="cpu", dtype="float32"))
    found = find_model(folder, kind="reranker")
    return await probe_reranker(TorchReranker.load(found, device="cpu", dtype="float32"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    settings = parser.parse_args().folder / "winnow.json"
    said = json.loads(settings.read_text(encoding="utf-8"))
    answers = asyncio.run(answers_of(str(settings.parent), said["kind"]))
    known = [[round(each.relevant, DECIMALS), round(each.irrelevant, DECIMALS)] for each in answers]
    write_json(settings, said | {"known_answers": known})
    print(json.dumps(known))


if __name__ == "__main__":
    main()
