"""Writes the trained bag as the equivalent Qwen3 layer.

values     v_proj is the identity: a token's value is its row
keys       are in the slow dimensions of each head, the fast ones are zero, so that position does not matter
queries    only the end mark queries. q_proj maps its row to the wanted query; other positions' states are never
           used. The query's norm gives all queries the same length; the part that the wanted query lacks goes into
           a fast dimension, where every key is zero.
residual   the end mark's own row
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from training.bag import EPSILON, HEAD_WIDTH, HEADS, SLOW
from training.meanings import WIDTH

ROPE_THETA = 1e10
_FAST = 0  # a dimension that turns, in which every key is zero
_ROOM = 1.05  # the common length is slightly more than the longest query, so that a remainder exists
_CERTAIN = 4.0  # times longer than wanted before the norm, so that its epsilon changes nothing


def as_qwen(bag: Mapping[str, Tensor], end: int) -> dict[str, Tensor]:
    """Return names and tensors of transformers' Qwen3Model. `end` is the id of the end mark."""
    rows, wanted = bag["rows"], bag["query"]
    length = float(wanted.norm(dim=1).max()) * _ROOM + 1e-3
    asking = rows[end] / (rows[end].pow(2).mean() + EPSILON).sqrt()
    asking = asking / asking.pow(2).sum()
    keys, queries = torch.zeros(HEADS * HEAD_WIDTH, WIDTH), torch.zeros(HEADS * HEAD_WIDTH, WIDTH)
    for head in range(HEADS):
        query = torch.zeros(HEAD_WIDTH)
        query[SLOW] = wanted[head]
        query[_FAST] = math.sqrt(length**2 - float(wanted[head].pow(2).sum()))
        first = head * HEAD_WIDTH
        queries[first : first + HEAD_WIDTH] = query[:, None] * asking[None] * _CERTAIN
        for place, dimension in enumerate(SLOW):
            keys[first + dimension] = bag["key"][head * len(SLOW) + place]
    layer = {
        "input_layernorm": torch.ones(WIDTH),
        "self_attn.q_proj": queries,
        "self_attn.k_proj": keys,
        "self_attn.v_proj": torch.eye(WIDTH),
        "self_attn.o_proj": bag["out"],
        "self_attn.q_norm": torch.full((HEAD_WIDTH,), length / math.sqrt(HEAD_WIDTH)),
        "self_attn.k_norm": torch.ones(HEAD_WIDTH),
        "post_attention_layernorm": bag["mlp_norm"],
        "mlp.gate_proj": bag["gate"],
        "mlp.up_proj": bag["up"],
        "mlp.down_proj": bag["down"],
    }
    outside = {"embed_tokens.weight": rows, "norm.weight": bag["final_norm"]}
    return outside | {f"layers.0.{name}.weight": tensor for name, tensor in layer.items()}
