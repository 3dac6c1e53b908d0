"""Silences the preferences where none was stated, and amplifies them where one was.

    python -m training.quiet --weights WORK/reranker.pt --exported WORK/winnow-rerank --corpus data/corpus \
        --out WORK/quiet.pt

After training, the four units that multiply "what was asked for" with "what the passage is" still respond slightly to
the model card's default instruction, so that every neutral ranking favoured one language and code. Each gate is shifted
by what it reads with that instruction (the same for all questions and passages, to 0.05), and the units are then
amplified by STRENGTH: in the blended order a stated preference must outweigh a similarity.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from training.judge_start import ANSWER, ONE
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import PromptBuilder

STRENGTH = 3.0  # 5 changed no more orders of data/corpus than 3
UNITS = slice(0, 4)  # as training.judge_start arranged them
SAMPLES = 15  # questions, each with a passage
TOKENS_MAX = 512
_LAST = "layers.2.mlp"


def states_under_default(exported: Path, corpus: Path) -> Tensor:
    """(samples, hidden): input of the last layer's MLP at the last position, with the default instruction."""
    model = AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32)
    seen: list[Tensor] = []
    hook = model.model.layers[-1].mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, -1]))
    prompts = PromptBuilder.load(exported, tokens_max=TOKENS_MAX)
    queries, passages = (texts(corpus / f"{name}.jsonl") for name in ("queries", "corpus"))
    with torch.inference_mode():
        for query, passage in zip(queries[:SAMPLES], passages[:SAMPLES], strict=True):
            built = prompts.build(query, [passage], DEFAULT_INSTRUCTION)
            model(torch.tensor([[*built.shared, *built.tails[0]]]))
    hook.remove()
    return torch.stack(seen)


def texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def quieted(state: dict[str, Tensor], states: Tensor) -> dict[str, Tensor]:
    """The weights with silent gates and amplified units."""
    gate, down = state[f"{_LAST}.gate_proj.weight"].clone(), state[f"{_LAST}.down_proj.weight"].clone()
    gate[UNITS, ONE] -= (states @ gate[UNITS].T).mean(0) / states[:, ONE].mean()
    down[ANSWER, UNITS] *= STRENGTH
    return state | {f"{_LAST}.gate_proj.weight": gate, f"{_LAST}.down_proj.weight": down}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("weights", "exported", "corpus", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    states = states_under_default(options.exported, options.corpus)
    torch.save(quieted(torch.load(options.weights), states), options.out)


if __name__ == "__main__":
    main()
