"""Selects the trained numbers of the reranker: some 245,000 of ten million.

Training every number from a hand-written start was tried first and stopped (README.md has the figures): one core sees a
few thousand lists, which is little for ten million numbers. So the mechanism is kept, zeros stay zero, and the meaning
of tokens stays the embedder's. The strengths are learned: how much a token's rarity counts, what it says about
language, code and the kind an instruction asks for, how sharp heads are, how the parts are added up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.bag import HEAD_WIDTH
from training.judge import Judge
from training.judge_prompts import Prompting
from training.judge_start import ANSWER, ASKS, CHINESE, CODE, IDF, MATCHING_HEADS
from training.lexicon import CODES, PIECES

_ZERO = 1e-6


def strengths(judge: Judge, prompting: Prompting) -> dict[str, Tensor]:
    """By parameter: 1 if it is trained, 0 if it stays."""
    masks = {name: (value.detach().abs() > _ZERO).float() for name, value in judge.named_parameters()}
    rows = torch.zeros_like(judge.embed_tokens.weight)
    for trained in (IDF, *range(CHINESE, CODE + 1), *ASKS.values()):
        rows[:PIECES, trained] = 1  # the scaffold's tokens stay as they are
    rows[int(prompting.suffix[-1]), ANSWER] = 1
    masks["embed_tokens.weight"] = rows
    for name, mask in masks.items():
        if name.endswith("layernorm.weight"):
            mask.zero_()
    for projection in ("q_proj", "k_proj"):  # how tokens are compared
        masks[f"layers.1.self_attn.{projection}.weight"][: MATCHING_HEADS * HEAD_WIDTH, :CODES] = 0
    return masks
