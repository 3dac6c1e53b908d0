"""The forward pass of a Qwen3 decoder, up to the states that are used. The reference is transformers' Qwen3Model.

Rule 1: no padding; the tokens of a pack go through the linear layers as one matrix (retrieval/model/packing.py).
Rule 2: the common prefix of all sequences is computed once and leaves its keys and values.
Rule 3: the last layer computes the last positions only, and no head is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.attention import Past, Rows, attend, attend_from_ends
from winnow.retrieval.model.checkpoint import Checkpoint
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.linear import Linear, linear_for
from winnow.retrieval.model.packing import Group, Pack
from winnow.retrieval.records import Vectors

Take = Callable[..., Tensor]  # (name, *shape) to a weight, on the device and in the compute type


class QwenDecoder:
    """The weights of one model and its computations. Single-threaded: see QwenRuntime."""

    def __init__(self, config: QwenConfig, checkpoint: Checkpoint, *, device: torch.device, dtype: torch.dtype) -> None:
        def take(name: str, *shape: int) -> Tensor:
            return _of_shape(checkpoint, f"{name}.weight", shape).to(device, dtype)

        linear = linear_for(device, dtype)
        self._config = config
        self._device = device
        self._dtype = dtype
        shape = config.vocabulary, config.hidden
        self._embedding = _of_shape(checkpoint, "embed_tokens.weight", shape).to(device)  # as stored; widened when read
        self._layers = [_Layer(_under(take, f"layers.{n}."), config, linear) for n in range(config.layers)]
        self._norm = take("norm", config.hidden)
        self._rotations = _Rotations(config, device)

    def remember(self, prefix: Sequence[int]) -> list[Past]:
        """Compute the prefix's keys and values, layer by layer. The last layer needs nothing else."""
        if not prefix:
            return [None] * len(self._layers)
        rows = [Rows(Group(start=0, lengths=(len(prefix),)), self._device)]
        rotation = self._rotations.at(np.arange(len(prefix)))
        states = self._embed(prefix)
        past: list[Past] = []
        for layer in self._layers:
            normed = layer.norm_in(states)
            keys, values = layer.keys_and_values(normed, rotation)
            past.append((keys.transpose(0, 1).unsqueeze(0), values.transpose(0, 1).unsqueeze(0)))
            if layer is not self._layers[-1]:
                states = layer.finish(states, attend(layer.queries(normed, rotation), keys, values, rows, None))
        return past

    def last_states(self, ids: Sequence[int], pack: Pack, past: list[Past]) -> Vectors:
        """(members, hidden): the normed states of a pack's last positions; `ids` are its sequences joined."""
        before = 0 if past[0] is None else past[0][0].shape[2]
        places = np.concatenate([np.arange(length) for length in pack.lengths]) + before
        rotation = self._rotations.at(places)
        ends = torch.from_numpy(np.cumsum(pack.lengths) - 1).to(self._device)
        rows = [Rows(group, self._device) for group in pack.groups]
        states = self._embed(ids)
        for layer, known in zip(self._layers, past, strict=True):
            normed = layer.norm_in(states)
            keys, values = layer.keys_and_values(normed, rotation)
            if layer is self._layers[-1]:
                queries = layer.queries(normed[ends], rotation[ends])
                states = layer.finish(states[ends], attend_from_ends(queries, keys, values, rows, known))
            else:
                states = layer.finish(states, attend(layer.queries(normed, rotation), keys, values, rows, known))
        normed = _norm(states, self._norm, self._config)
        return np.asarray(normed.float().cpu().numpy(), dtype=np.float32)

    def _embed(self, ids: Sequence[int]) -> Tensor:
        return functional.embedding(torch.tensor(ids, device=self._device), self._embedding).to(self._dtype)


class _Layer:
    """One decoder layer."""

    def __init__(self, take: Take, config: QwenConfig, linear: Linear) -> None:
        self._config = config
        self._linear = linear
        hidden, inner, head = config.hidden, config.intermediate, config.head_dim
        query, kv = config.query_heads * head, config.kv_heads * head
        self._norm_in = take("input_layernorm", hidden)
        self._query = linear.prepare(_interleave(take("self_attn.q_proj", query, hidden), head))
        self._key = linear.prepare(_interleave(take("self_attn.k_proj", kv, hidden), head))
        self._value = linear.prepare(take("self_attn.v_proj", kv, hidden))
        self._query_norm = _interleave(take("self_attn.q_norm", head), head)
        self._key_norm = _interleave(take("self_attn.k_norm", head), head)
        self._out = linear.prepare(take("self_attn.o_proj", hidden, query))
        self._norm_mlp = take("post_attention_layernorm", hidden)
        self._gate = linear.prepare(take("mlp.gate_proj", inner, hidden))
        self._up = linear.prepare(take("mlp.up_proj", inner, hidden))
        self._down = linear.prepare(take("mlp.down_proj", hidden, inner))

    def norm_in(self, states: Tensor) -> Tensor:
        return _norm(states, self._norm_in, self._config)

    def queries(self, normed: Tensor, rotation: Tensor) -> Tensor:
        """(tokens, query_heads, head_dim)"""
        return self._rotate(self._linear.product(normed, self._query), self._query_norm, rotation)

    def keys_and_values(self, normed: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        """Each (tokens, kv_heads, head_dim)."""
        keys = self._rotate(self._linear.product(normed, self._key), self._key_norm, rotation)
        return keys, self._linear.product(normed, self._value).view_as(keys)

    def finish(self, states: Tensor, attended: Tensor) -> Tensor:
        """The part after attention; `attended` is (tokens, query_heads * head_dim)."""
        states = self._linear.product_plus(attended, self._out, states)
        opened = self._linear.gated(_norm(states, self._norm_mlp, self._config), self._gate, self._up)
        return self._linear.product_plus(opened, self._down, states)

    def _rotate(self, projected: Tensor, weight: Tensor, rotation: Tensor) -> Tensor:
        """Rotary embedding as one complex product: `_interleave` has interleaved the two halves of a head."""
        tokens, head_dim = projected.shape[0], self._config.head_dim
        normed = _norm(projected.view(tokens, -1, head_dim), weight, self._config)
        pairs = torch.view_as_complex(normed.float().view(tokens, -1, head_dim // 2, 2))
        return torch.view_as_real(pairs * rotation).flatten(-2).to(projected.dtype)


def _under(take: Take, prefix: str) -> Take:
    return lambda name, *shape: take(prefix + name, *shape)


def _of_shape(checkpoint: Checkpoint, name: str, shape: tuple[int, ...]) -> Tensor:
    weight: Tensor = checkpoint.tensor(name)
    if weight.shape != shape:
        raise ModelUnusable(f"{name} has the shape {tuple(weight.shape)}, but config.json says {shape}")
    return weight


def _norm(states: Tensor, weight: Tensor, config: QwenConfig) -> Tensor:
    return functional.rms_norm(states, weight.shape, weight, config.norm_epsilon)


def _interleave(rows: Tensor, head_dim: int) -> Tensor:
    """Reorder rows to 0, h/2, 1, h/2+1, ... in every head: products of queries and keys are not affected."""
    halves = rows.view(-1, 2, head_dim // 2, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)


class _Rotations:
    """The angles of all positions so far, as complex numbers of length one."""

    def __init__(self, config: QwenConfig, device: torch.device) -> None:
        steps = torch.arange(0, config.head_dim, 2, dtype=torch.float32, device=device) / config.head_dim
        self._frequencies = 1.0 / (config.rope_theta**steps)  # float32 as in the reference, rounding included
        self._table = self._compute(1024)

    def at(self, places: NDArray[np.int64]) -> Tensor:
        """(len(places), 1, head_dim / 2)"""
        needed = int(places.max()) + 1
        if needed > len(self._table):
            self._table = self._compute(max(needed, 2 * len(self._table)))
        return self._table[torch.from_numpy(places).to(self._table.device)].unsqueeze(1)

    def _compute(self, positions: int) -> Tensor:
        angles = torch.outer(torch.arange(positions, device=self._frequencies.device).float(), self._frequencies)
        return torch.polar(torch.ones_like(angles), angles)
