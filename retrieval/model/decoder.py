"""The forward pass of a Qwen3 decoder, up to the states that are used. The reference is transformers' Qwen3Model.

Rule 1: no padding; the tokens of a pack go through the linear layers as one matrix (retrieval/model/packing.py).
Rule 2: the common prefix of all sequences is computed once and leaves its keys and values.
Rule 3: the last layer computes the last positions only, and no head is applied.
Rule 4: on a CPU, what treats each token alone is computed in windows of few sizes (retrieval/model/linear.py).
Rule 5: on a CPU, keys and values of a model with one layer are computed once for each token of a small vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.attention import Past, Rows, attend, attend_from_ends
from winnow.retrieval.model.checkpoint import Checkpoint
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.linear import Linear, QuantisedWeight, in_windows, linear_for
from winnow.retrieval.model.memory import ModelMemory
from winnow.retrieval.model.number_type import FLOAT32, NumberType
from winnow.retrieval.model.packing import Group, Pack
from winnow.retrieval.records import Vectors

Take = Callable[..., Tensor]  # (name, *shape) to a weight, on the device and in the compute type

TABLE_BYTES_MAX: Final = 128_000_000  # of a model; the vocabulary of Qwen3 itself would take gigabytes


class QwenDecoder:
    """The weights of one model and its computations. Single-threaded: see QwenRuntime."""

    def __init__(
        self, config: QwenConfig, checkpoint: Checkpoint, *, device: torch.device, number_type: NumberType
    ) -> None:
        dtype = number_type.states

        def take(name: str, *shape: int) -> Tensor:
            return _of_shape(checkpoint, f"{name}.weight", shape).to(device, dtype)

        has_table = _is_table_worth_it(config, device, dtype)
        # Hardly a product is left beside the table, so rounding them would gain nothing.
        linear = linear_for(device, FLOAT32 if has_table and number_type.is_mixed else number_type)
        self._config = config
        self._device = device
        self._dtype = dtype
        shape = config.vocabulary, config.hidden
        self._embedding = _of_shape(checkpoint, "embed_tokens.weight", shape).to(device)  # as stored; widened when read
        self._layers = [_Layer(_under(take, f"layers.{n}."), config, linear) for n in range(config.layers)]
        self._norm = take("norm", config.hidden)
        self._rotations = _Rotations(config, device)
        self._table = (
            _TokenTable(self._layers[0], self._embed_tensor, config=config, dtype=dtype) if has_table else None
        )

    @property
    def memory(self) -> ModelMemory:
        own = [self._embedding, self._norm]
        parts = [*own, *(each for layer in self._layers for each in layer.weights)]
        return ModelMemory(
            weights=sum(each.numel() * each.element_size() for each in parts),
            table=0 if self._table is None else self._table.bytes_known,
        )

    def remember(self, prefix: Sequence[int]) -> list[Past]:
        """Compute the prefix's keys and values, layer by layer. The last layer needs nothing else."""
        if not prefix:
            return [None] * len(self._layers)
        rows = [Rows(Group(start=0, lengths=(len(prefix),)), self._device)]
        rotation = self._rotations.at(np.arange(len(prefix)))
        states = self._embed_tensor(torch.tensor(prefix, device=self._device))
        past: list[Past] = []
        for layer in self._layers:
            heads = layer.project(states)
            keys = turned(heads.keys, rotation)
            past.append((keys.transpose(0, 1).unsqueeze(0), heads.values.transpose(0, 1).unsqueeze(0)))
            if layer is not self._layers[-1]:
                states = layer.finish(states, attend(turned(heads.queries, rotation), keys, heads.values, rows, None))
        return past

    def last_states(self, ids: Sequence[int], pack: Pack, past: list[Past]) -> Vectors:
        """(members, hidden): the normed states of a pack's last positions; `ids` are its sequences joined."""
        before = 0 if past[0] is None else past[0][0].shape[2]
        table = self._table  # of the only layer: of that, the last positions' states are enough
        lengths = pack.lengths
        rotation = self._rotations.at(np.concatenate([np.arange(length) for length in lengths]) + before)
        ends = torch.from_numpy(np.cumsum(lengths) - 1).to(self._device)
        rows = [Rows(group, self._device) for group in pack.groups]
        tokens = torch.tensor(ids, device=self._device)
        states = self._embed_tensor(tokens if table is None else tokens[ends])
        for layer, known in zip(self._layers, past, strict=True):
            if layer is not self._layers[-1]:
                heads = layer.project(states)
                keys = turned(heads.keys, rotation)
                attended = attend(turned(heads.queries, rotation), keys, heads.values, rows, known)
            else:
                heads = layer.project(states, ends) if table is None else table.heads(tokens, states)
                states = states[ends] if table is None else states
                keys = turned(heads.keys, rotation)
                attended = attend_from_ends(turned(heads.queries, rotation[ends]), keys, heads.values, rows, known)
            states = layer.finish(states, attended)
        normed = _norm(states, self._norm, self._config)
        return np.asarray(normed.float().cpu().numpy(), dtype=np.float32)

    def _embed_tensor(self, tokens: Tensor) -> Tensor:
        return functional.embedding(tokens, self._embedding).to(self._dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """Projections of tokens before their rotation, each (tokens, heads, head_dim); queries perhaps of fewer tokens."""

    queries: Tensor
    keys: Tensor
    values: Tensor


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

    @property
    def weights(self) -> list[Tensor]:
        found = vars(self).values()
        dense = [each for each in found if isinstance(each, Tensor)]
        return dense + [part for each in found if isinstance(each, QuantisedWeight) for part in each.tensors]

    def project(self, states: Tensor, wanted: Tensor | None = None) -> Heads:
        """Project all tokens; only the `wanted` ones have queries."""
        normed = self._linear.operand(_norm(states, self._norm_in, self._config))
        return Heads(
            queries=self.queries(normed if wanted is None else normed[wanted]),
            keys=self._heads(normed, self._key, self._key_norm),
            values=in_windows(self._values, normed),
        )

    def queries_of(self, states: Tensor) -> Tensor:
        return self.queries(self._linear.operand(_norm(states, self._norm_in, self._config)))

    def queries(self, normed: Tensor) -> Tensor:
        return self._heads(normed, self._query, self._query_norm)

    def finish(self, states: Tensor, attended: Tensor) -> Tensor:
        """The part after attention; `attended` is (tokens, query_heads * head_dim)."""
        return in_windows(self._finish, states, attended)

    def _finish(self, states: Tensor, attended: Tensor) -> Tensor:
        linear = self._linear
        states = linear.product_plus(linear.operand(attended), self._out, states)
        normed = linear.operand(_norm(states, self._norm_mlp, self._config))
        opened = linear.gated(normed, self._gate, self._up)
        return linear.product_plus(opened, self._down, states)

    def _heads(self, normed: Tensor, weight: Tensor, norm: Tensor) -> Tensor:
        return in_windows(lambda rows: _norm(self._split(rows, weight), norm, self._config), normed)

    def _values(self, normed: Tensor) -> Tensor:
        return self._split(normed, self._value)

    def _split(self, normed: Tensor, weight: Tensor) -> Tensor:
        return self._linear.product(normed, weight).view(len(normed), -1, self._config.head_dim)


class _TokenTable:
    """Keys and values of the first layer by token, computed when a token first occurs. Single-threaded, like its model.

    They depend on the token alone: its position enters with the rotation, and other tokens with attention. Of a model
    with more layers they are a small part, which does not pay for the memory: the bundled reranker gained 5 %.
    """

    def __init__(
        self, layer: _Layer, embed: Callable[[Tensor], Tensor], *, config: QwenConfig, dtype: torch.dtype
    ) -> None:
        self._layer = layer
        self._embed = embed
        self._known = torch.zeros(config.vocabulary, dtype=torch.bool)
        shape = config.vocabulary, config.kv_heads, config.head_dim  # rows that are never written take no memory
        self._keys, self._values = torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype)
        self._gathered: list[Tensor] = []

    @property
    def bytes_known(self) -> int:
        """Bytes of the rows that are computed."""
        return int(self._known.sum()) * 2 * self._keys[0].nbytes

    def heads(self, tokens: Tensor, states: Tensor) -> Heads:
        """Return what `_Layer.project` would; queries are those of `states`."""
        new = tokens[~self._known[tokens]]
        if len(new):
            self._add(torch.unique(new))
        return Heads(
            queries=self._layer.queries_of(states),
            keys=self._gather(self._keys, tokens, 0),
            values=self._gather(self._values, tokens, 1),
        )

    def _gather(self, known: Tensor, tokens: Tensor, place: int) -> Tensor:
        """Copy the rows of these tokens to memory that the next pack takes again: new pages cost more than the copy."""
        if len(self._gathered) < 2 or len(self._gathered[0]) < len(tokens):
            self._gathered = [torch.empty(len(tokens), *known.shape[1:], dtype=known.dtype) for _ in range(2)]
        return torch.index_select(known, 0, tokens, out=self._gathered[place][: len(tokens)])

    def _add(self, tokens: Tensor) -> None:
        one = torch.zeros(1, dtype=torch.int64)  # a query that is not kept: a product of no rows has no shape
        heads = self._layer.project(self._embed(tokens), one)
        self._keys[tokens], self._values[tokens] = heads.keys, heads.values
        self._known[tokens] = True


def _is_table_worth_it(config: QwenConfig, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the model has one layer and a small vocabulary, on a CPU."""
    size = 2 * config.vocabulary * config.kv_heads * config.head_dim * dtype.itemsize
    return device.type == "cpu" and config.layers == 1 and size <= TABLE_BYTES_MAX


def turned(heads: Tensor, rotation: Tensor) -> Tensor:
    """Rotary embedding as one complex product: `_interleave` has interleaved the two halves of a head.

    Float32 is turned where it lies, so `heads` must be a projection that is not used again.
    """
    tokens, count, head_dim = heads.shape
    pairs = torch.view_as_complex(heads.float().view(tokens, count, head_dim // 2, 2))
    return torch.view_as_real(pairs.mul_(rotation)).flatten(-2).to(heads.dtype)


def _under(take: Take, prefix: str) -> Take:
    return lambda name, *shape: take(prefix + name, *shape)


def _of_shape(checkpoint: Checkpoint, name: str, shape: tuple[int, ...]) -> Tensor:
    weight: Tensor = checkpoint.tensor(name)
    if weight.shape != shape:
        raise ModelUnusable(f"{name} has the shape {tuple(weight.shape)}, but config.json says {shape}")
    return weight


def _norm(states: Tensor, weight: Tensor, config: QwenConfig) -> Tensor:
    """torch's rms_norm, to the bit. On a CPU torch makes a new tensor at each of its steps; here two are reused."""
    if states.is_cuda or states.dtype != torch.float32:
        return functional.rms_norm(states, weight.shape, weight, config.norm_epsilon)
    normed = states.square()
    scale = normed.mean(-1, keepdim=True).add_(config.norm_epsilon).rsqrt_()
    return torch.mul(states, scale, out=normed).mul_(weight)


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
        return self._table.index_select(0, torch.from_numpy(places).to(self._table.device)).unsqueeze(1)

    def _compute(self, positions: int) -> Tensor:
        angles = torch.outer(torch.arange(positions, device=self._frequencies.device).float(), self._frequencies)
        return torch.polar(torch.ones_like(angles), angles)
