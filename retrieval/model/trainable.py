"""A Qwen3 decoder with gradients: the function of retrieval/model/decoder.py, for prompts that share their beginning.

Rule 1: the shared beginning is computed once for all continuations.
Rule 2: float32. Padding stands only behind a continuation, where causality hides it.
Rule 3: the rows of the vocabulary stay as they are; everything between them and the head is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from winnow.retrieval.model.checkpoint import Checkpoint
from winnow.retrieval.model.config import QwenConfig

_OF_LAYER: Final = (
    "input_layernorm",
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.q_norm",
    "self_attn.k_norm",
    "self_attn.o_proj",
    "post_attention_layernorm",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)


class TrainableQwen:
    """The weights of a small model, and logit_yes - logit_no of prompts as a function of them."""

    def __init__(self, folder: Path, *, yes: int, no: int, device: torch.device) -> None:
        """`yes` and `no` are token ids. Raises `ModelUnusable`."""
        self.config = QwenConfig.read(folder)
        self.device = device
        checkpoint = Checkpoint.open(folder)
        self._folder = folder
        self._rows = checkpoint.tensor("embed_tokens.weight").to(device)  # as stored; widened when read
        head = "embed_tokens.weight" if self.config.is_tied else "lm_head.weight"
        self._head = (checkpoint.row(head, yes).float() - checkpoint.row(head, no).float()).to(device)
        names = ["norm", *(f"layers.{layer}.{name}" for layer in range(self.config.layers) for name in _OF_LAYER)]
        self.weights: dict[str, Tensor] = {
            name: checkpoint.tensor(f"{name}.weight").to(device, torch.float32).requires_grad_() for name in names
        }

    def logits(self, shared: Sequence[int], tails: Sequence[Sequence[int]]) -> Tensor:
        """(len(tails),): the score of `shared` + each tail. Neither may be empty."""
        before, longest = len(shared), max(map(len, tails))
        padded = [[*tail, *[0] * (longest - len(tail))] for tail in tails]
        start, rest = self._embed([list(shared)]), self._embed(padded)
        ends = torch.tensor([len(tail) - 1 for tail in tails], device=self.device)
        turns = self._turns(before + longest)
        place = torch.arange(before + longest, device=self.device)
        causal = place[None, :] <= place[before:, None]
        for layer in range(self.config.layers):
            is_last = layer == self.config.layers - 1
            normed_start, normed = self._normed(layer, start), self._normed(layer, rest)
            keys, values = self._keys_and_values(layer, normed_start, _part(turns, 0, before))
            own_keys, own_values = self._keys_and_values(layer, normed, _part(turns, before, None))
            every_key = torch.cat((keys.expand(len(tails), -1, -1, -1), own_keys), dim=2)
            every_value = torch.cat((values.expand(len(tails), -1, -1, -1), own_values), dim=2)
            if is_last:  # only the last positions are used
                picked = torch.arange(len(tails), device=self.device)
                normed, rest = normed[picked, ends].unsqueeze(1), rest[picked, ends].unsqueeze(1)
                at = (
                    turns[0][before + ends].unsqueeze(1).unsqueeze(1),
                    turns[1][before + ends].unsqueeze(1).unsqueeze(1),
                )
                mask = (place[None, :] <= before + ends[:, None])[:, None, None, :]
                rest = self._finish(layer, rest, self._queries(layer, normed, at), (every_key, every_value), mask)
            else:
                queries = self._queries(layer, normed, _part(turns, before, None))
                rest = self._finish(layer, rest, queries, (every_key, every_value), causal)
                queries = self._queries(layer, normed_start, _part(turns, 0, before))
                start = self._finish(
                    layer, start, queries, (keys, values), place[None, :before] <= place[:before, None]
                )
        return torch.mv(self._norm(rest.squeeze(1), "norm"), self._head)

    def copy_in(self, weights: dict[str, Tensor]) -> None:
        """Replace the weights, in place."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(weights[name])

    def save(self, path: Path) -> None:
        """Write every tensor of the model to one file, the trained ones in the type they were stored in."""
        tensors: dict[str, Tensor] = {}
        for file in sorted(self._folder.glob("*.safetensors")):
            tensors |= load_file(file)
        for stored, tensor in tensors.items():
            name = stored.removeprefix("model.").removesuffix(".weight")
            if name in self.weights:
                tensors[stored] = self.weights[name].detach().to("cpu", tensor.dtype).contiguous()
        save_file(tensors, path, metadata={"format": "pt"})

    def _embed(self, ids: list[list[int]]) -> Tensor:
        return functional.embedding(torch.tensor(ids, device=self.device), self._rows).float()

    def _norm(self, states: Tensor, name: str) -> Tensor:
        weight = self.weights[name]
        return functional.rms_norm(states, weight.shape, weight, self.config.norm_epsilon)

    def _normed(self, layer: int, states: Tensor) -> Tensor:
        return self._norm(states, f"layers.{layer}.input_layernorm")

    def _linear(self, layer: int, name: str, states: Tensor) -> Tensor:
        return functional.linear(states, self.weights[f"layers.{layer}.{name}"])

    def _heads(self, states: Tensor) -> Tensor:
        """(rows, tokens, heads * head_dim) to (rows, heads, tokens, head_dim)"""
        return states.view(*states.shape[:2], -1, self.config.head_dim).transpose(1, 2)

    def _queries(self, layer: int, normed: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        heads = self._heads(self._linear(layer, "self_attn.q_proj", normed))
        return _rotate(self._norm(heads, f"layers.{layer}.self_attn.q_norm"), turns)

    def _keys_and_values(self, layer: int, normed: Tensor, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Each (rows, query heads, tokens, head_dim): shared heads are repeated."""
        repeats = self.config.query_heads // self.config.kv_heads
        heads = self._heads(self._linear(layer, "self_attn.k_proj", normed))
        keys = _rotate(self._norm(heads, f"layers.{layer}.self_attn.k_norm"), turns)
        values = self._heads(self._linear(layer, "self_attn.v_proj", normed))
        return keys.repeat_interleave(repeats, dim=1), values.repeat_interleave(repeats, dim=1)

    def _finish(self, layer: int, states: Tensor, queries: Tensor, past: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """The rest of a layer; `past` are the keys and values that the mask selects from."""
        attended = functional.scaled_dot_product_attention(queries, *past, attn_mask=mask)
        states = states + self._linear(layer, "self_attn.o_proj", attended.transpose(1, 2).flatten(2))
        normed = self._norm(states, f"layers.{layer}.post_attention_layernorm")
        gate = functional.silu(self._linear(layer, "mlp.gate_proj", normed))
        return states + self._linear(layer, "mlp.down_proj", gate * self._linear(layer, "mlp.up_proj", normed))

    def _turns(self, positions: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine of every position's angles: each (positions, head_dim)."""
        head_dim = self.config.head_dim
        steps = torch.arange(0, head_dim, 2, dtype=torch.float32, device=self.device) / head_dim
        angles = torch.outer(torch.arange(positions, device=self.device).float(), 1.0 / self.config.rope_theta**steps)
        both = torch.cat((angles, angles), dim=-1)
        return both.cos(), both.sin()


def _part(turns: tuple[Tensor, Tensor], start: int, stop: int | None) -> tuple[Tensor, Tensor]:
    return turns[0][start:stop], turns[1][start:stop]


def _rotate(heads: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return heads * turns[0] + torch.cat((-second, first), dim=-1) * turns[1]
