"""The embedder during training: a one-layer Qwen3 that computes only the last position.

Why this trains on a CPU. With one layer, and only the last position needed, a token contributes in two ways: as a key
and as a value. Both depend on the token alone, because the keys use only the slow rope dimensions: at a rope base of
1e10 the slowest eight of 32 pairs turn by at most 0.001 rad in 32,000 positions. So each row of the vocabulary has one
weight and one value per head, and the softmax over a text is

    state[head] = sum(weight[token] * value[token]) / sum(weight[token])

a weighted bag of static vectors: one `embedding_bag` call over a table that is computed once per batch, 210,000 tokens
per second on one core, forward and backward. That is a static embedding (model2vec, StaticModel) with what those lack:
learned token weights, eight of them (IDF has one), and a SwiGLU on the sum. What it gives up is word order.

`training.export` writes the same function as an ordinary Qwen3 checkpoint; nothing is approximated but the rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.meanings import VOCABULARY, WIDTH
from training.sequences import Ids

HEADS = 8
HEAD_WIDTH = 64
SLOW = [*range(24, 32), *range(56, 64)]  # dimensions of a head that hardly turn: pairs 24 to 31, both halves
INTERMEDIATE = 1_024
EPSILON = 1e-6
_WEIGHT_EXPONENT_MAX = 20.0


class Bag(nn.Module):
    """Token rows, and the layers applied to their weighted sum."""

    def __init__(self, *, seed: int, vocabulary: int = VOCABULARY) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def random(*shape: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * scale)

        self.rows = random(vocabulary, WIDTH, scale=0.5)
        self.key = random(HEADS * len(SLOW), WIDTH, scale=0.05)
        self.query = random(HEADS, len(SLOW), scale=0.1)  # of the end mark, which is every text's last token
        self.out = nn.Parameter(torch.eye(WIDTH) + torch.randn(WIDTH, WIDTH, generator=generator) * 0.01)
        self.mlp_norm = nn.Parameter(torch.ones(WIDTH))
        self.gate = random(INTERMEDIATE, WIDTH, scale=1 / math.sqrt(WIDTH))
        self.up = random(INTERMEDIATE, WIDTH, scale=1 / math.sqrt(WIDTH))
        self.down = random(WIDTH, INTERMEDIATE, scale=0.002)
        self.final_norm = nn.Parameter(torch.ones(WIDTH))
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))  # of the loss; not part of the model

    @torch.no_grad()
    def normalise_rows(self) -> None:
        """Scale rows to unit RMS, so that the layer's first norm changes nothing and need not be computed."""
        self.rows.div_(self.rows.norm(dim=1, keepdim=True) / math.sqrt(WIDTH) + 1e-9)

    def table(self, tokens: Tensor | None = None) -> Tensor:
        """(tokens, width + heads): each token's weighted values, and its weights."""
        rows = self.rows if tokens is None else self.rows[tokens]
        keys = (rows @ self.key.T).view(-1, HEADS, len(SLOW))
        # The key's norm covers all 64 dimensions of a head, of which the fast 48 are zero.
        keys = keys * torch.rsqrt(keys.pow(2).sum(-1, keepdim=True) / HEAD_WIDTH + EPSILON)
        logits = (keys * self.query).sum(-1) / math.sqrt(HEAD_WIDTH)
        weights = torch.exp(logits.clamp(-_WEIGHT_EXPONENT_MAX, _WEIGHT_EXPONENT_MAX))
        values = rows.view(-1, HEADS, HEAD_WIDTH) * weights[:, :, None]
        return torch.cat([values.reshape(-1, WIDTH), weights], 1)

    def embed(self, table: Tensor, places: Tensor, starts: Tensor, end: int) -> Tensor:
        """Unit vectors of texts whose tokens are `places` in the table; a text begins at each of `starts`."""
        sums = functional.embedding_bag(places, table, starts, mode="sum")
        heads = sums[:, :WIDTH].view(-1, HEADS, HEAD_WIDTH) / sums[:, WIDTH:, None]
        state = self.rows[end] + heads.reshape(-1, WIDTH) @ self.out.T
        normed = functional.rms_norm(state, (WIDTH,), eps=EPSILON) * self.mlp_norm
        state = state + (functional.silu(normed @ self.gate.T) * (normed @ self.up.T)) @ self.down.T
        state = functional.rms_norm(state, (WIDTH,), eps=EPSILON) * self.final_norm
        return functional.normalize(state, dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[Ids], end: int, *, at_once: int = 512) -> Tensor:
        """Vectors of many texts, without gradients."""
        table = self.table()
        parts = [bags(texts[start : start + at_once], end) for start in range(0, len(texts), at_once)]
        return torch.cat([self.embed(table, *part, end) for part in parts])


def bags(texts: Sequence[Ids], end: int) -> tuple[Tensor, Tensor]:
    """Concatenate the texts' tokens, with the end mark after each, and return where each text begins."""
    ended = [np.append(text, end) for text in texts]
    starts = np.concatenate([[0], np.cumsum([len(text) for text in ended])[:-1]])
    return torch.from_numpy(np.concatenate(ended)), torch.from_numpy(starts.astype(np.int64))
