"""Qwen3 during training: a row holds one query's head once, followed by all its documents.

A document sees the head and itself, never the other documents, and its positions continue from the head's end, so every
document is scored as if it were alone after that head. Compared with one row per document this computes the head (about
70 of 220 tokens) once per list instead of eight times, and pads only at the end of a list.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, flex_attention

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"  # the current one, which `processes` chooses
DTYPE = torch.bfloat16 if ON_GPU else torch.float32
VOCABULARY = 20_096
HEAD = 64
EPSILON = 1e-6
THETA = 1e6
POSITIONS = 2_048
BLOCK = 128  # of flex attention: a row is a multiple of it
Shape = dict[str, int]  # hidden, inner, heads, kv, layers; "theta" if it is not THETA


class Norm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x.float(), (x.shape[-1],), self.weight.float(), EPSILON).to(x.dtype)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = HEAD // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        hidden, inner = shape["hidden"], shape["inner"]
        self.heads, self.kv = shape["heads"], shape["kv"]

        def linear(wide: int, out: int, scale: float) -> nn.Linear:
            made = nn.Linear(wide, out, bias=False)
            nn.init.normal_(made.weight, std=scale / math.sqrt(wide))
            return made

        small = 0.5 / math.sqrt(2 * shape["layers"])
        self.input_layernorm, self.post_attention_layernorm = Norm(hidden), Norm(hidden)
        self.q_norm, self.k_norm = Norm(HEAD), Norm(HEAD)
        self.q_proj = linear(hidden, self.heads * HEAD, 0.7)
        self.k_proj = linear(hidden, self.kv * HEAD, 0.7)
        self.v_proj = linear(hidden, self.kv * HEAD, 0.7)
        self.o_proj = linear(self.heads * HEAD, hidden, small)
        self.gate_proj, self.up_proj = linear(hidden, inner, 0.7), linear(hidden, inner, 0.7)
        self.down_proj = linear(inner, hidden, small)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: BlockMask | Tensor | None) -> Tensor:
        rows, length, _ = x.shape
        h = self.input_layernorm(x)
        q = self.q_norm(self.q_proj(h).view(rows, length, self.heads, HEAD)).transpose(1, 2)
        k = self.k_norm(self.k_proj(h).view(rows, length, self.kv, HEAD)).transpose(1, 2)
        v = self.v_proj(h).view(rows, length, self.kv, HEAD).transpose(1, 2)
        q, k = turned(q, cos, sin).to(v.dtype), turned(k, cos, sin).to(v.dtype)
        out = attended(q, k, v, mask)
        x = x + self.o_proj(out.transpose(1, 2).reshape(rows, length, -1))
        h = self.post_attention_layernorm(x)
        return x + self.down_proj(functional.silu(self.gate_proj(h)) * self.up_proj(h))


def attended(q: Tensor, k: Tensor, v: Tensor, mask: BlockMask | Tensor | None) -> Tensor:
    if isinstance(mask, BlockMask):
        out = flex_attention(q, k, v, block_mask=mask, enable_gqa=True)
        assert isinstance(out, Tensor)
        return out
    times = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)


class Network(nn.Module):
    def __init__(self, shape: Shape, *, compiled: bool, flexible: bool) -> None:
        super().__init__()
        self.shape, self.flexible = shape, flexible
        self.embed_tokens = nn.Embedding(VOCABULARY, shape["hidden"])
        nn.init.normal_(self.embed_tokens.weight, std=0.7)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape["layers"]))
        self.norm = Norm(shape["hidden"])
        nn.init.constant_(self.norm.weight, 0.1)
        self.look_for_alike()
        theta = float(shape.get("theta", THETA))
        turn = torch.outer(torch.arange(POSITIONS).float(), 1 / theta ** (torch.arange(0, HEAD, 2).float() / HEAD))
        turn = torch.cat((turn, turn), -1)
        self.register_buffer("cos", turn.cos(), persistent=False)
        self.register_buffer("sin", turn.sin(), persistent=False)
        self.fast: Any = torch.compile(block, dynamic=False) if compiled else block

    @torch.no_grad()
    def look_for_alike(self) -> None:
        """Half of the heads of layers 1 and 2 start with q_proj = k_proj: a token looks for tokens like itself."""
        for layer in list(self.layers)[1:3]:
            assert isinstance(layer, Block)
            times = layer.heads // layer.kv
            for place in range(layer.kv):
                first = place * times * HEAD
                layer.q_proj.weight[first : first + HEAD] = layer.k_proj.weight[place * HEAD : (place + 1) * HEAD]

    def states(self, ids: Tensor, positions: Tensor | None, mask: BlockMask | Tensor | None, *, fast: bool) -> Tensor:
        if positions is None:
            cos, sin = self.cos[: ids.shape[1]].to(DTYPE), self.sin[: ids.shape[1]].to(DTYPE)
        else:
            cos, sin = self.cos[positions].to(DTYPE)[:, None], self.sin[positions].to(DTYPE)[:, None]
        x = self.embed_tokens(ids).to(DTYPE)
        for layer in self.layers:
            x = self.fast(layer, x, cos, sin, mask) if fast else layer(x, cos, sin, mask)
        return x

    def logits(self, states: Tensor, last: Tensor, yes: int, no: int) -> Tensor:
        """Yes minus no at the given positions (rows, documents)."""
        width = states.shape[-1]
        picked = states.gather(1, last[..., None].expand(-1, -1, width))
        weight = self.embed_tokens.weight
        return (self.norm(picked).float() * (weight[yes] - weight[no]).float()).sum(-1)


def block(layer: Block, x: Tensor, cos: Tensor, sin: Tensor, mask: BlockMask | Tensor | None) -> Tensor:
    return layer(x, cos, sin, mask)  # type: ignore[no-any-return]


def list_mask(document: Tensor, *, flexible: bool) -> BlockMask | Tensor:
    """Each token sees the preceding tokens of the head (document 0) and of its own document (-1 is padding)."""
    length = document.shape[1]
    if not flexible:
        place = torch.arange(length, device=document.device)
        same = (document[:, None, :] == 0) | (document[:, :, None] == document[:, None, :])
        return ((place[:, None] >= place[None]) & same)[:, None]

    def seen(row: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        del head
        return (q >= k) & ((document[row, k] == 0) | (document[row, q] == document[row, k]))

    # Documents are consecutive, so a block of keys is visible if its last document reaches the queries' first.
    order = torch.where(document < 0, POSITIONS, document).view(len(document), -1, BLOCK)
    first, last = order[..., 0], order[..., -1]
    place = torch.arange(order.shape[1], device=document.device)
    reaches = (first[:, None, :] == 0) | (last[:, None, :] >= first[:, :, None])
    visible = reaches & (place[:, None] >= place[None])
    blocks = torch.argsort(~visible, dim=-1, stable=True).int()
    counts = visible.sum(-1).int()
    return BlockMask.from_kv_blocks(
        counts[:, None], blocks[:, None], BLOCK_SIZE=BLOCK, mask_mod=seen, seq_lengths=(length, length)
    )


def as_qwen(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of transformers' Qwen3Model."""
    inside = dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"), "self_attn")
    inside |= dict.fromkeys(("gate_proj", "up_proj", "down_proj"), "mlp")
    named = {}
    for name, tensor in weights.items():
        parts = name.split(".")
        if len(parts) > 2 and parts[2] in inside:
            parts.insert(2, inside[parts[2]])
        named[".".join(parts)] = tensor
    return named


def from_qwen(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `as_qwen`."""
    return {name.removeprefix("model.").replace("self_attn.", "").replace("mlp.", ""): t for name, t in named.items()}


def read_weights(path: Path) -> tuple[Shape, dict[str, Tensor]]:
    """Shape and weights of a reranker.pt, or of an exported reranker's folder, on the CPU."""
    if not path.is_dir():
        read = torch.load(path, map_location="cpu")
        return read["shape"], read["weights"]
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    names = {"hidden": "hidden_size", "inner": "intermediate_size", "heads": "num_attention_heads",
             "kv": "num_key_value_heads", "layers": "num_hidden_layers", "theta": "rope_theta"}  # fmt: skip
    shape = {name: int(config[told]) for name, told in names.items()}
    return shape, from_qwen(load_file(path / "model.safetensors"))


@torch.no_grad()
def orthogonal(gradients: Tensor) -> Tensor:
    """Newton-Schulz iteration: approximately the nearest orthogonal matrix of each."""
    x = gradients.to(DTYPE)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if tall else x).float()


class Muon:
    """Momentum with orthogonalised steps, for the matrices inside the layers."""

    def __init__(self, parameters: list[nn.Parameter], rate: float) -> None:
        self.rate, self.momentum, self.decay = rate, 0.95, 0.01
        by_shape: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for parameter in parameters:
            by_shape.setdefault(tuple(parameter.shape), []).append(parameter)
        self.groups = list(by_shape.values())
        self.buffers = [[torch.zeros_like(p) for p in group] for group in self.groups]

    @torch.no_grad()
    def step(self) -> None:
        for group, buffers in zip(self.groups, self.buffers, strict=True):
            gradients = [p.grad for p in group]
            torch._foreach_lerp_(buffers, gradients, 1 - self.momentum)  # type: ignore[arg-type]
            ahead = torch._foreach_lerp(gradients, buffers, self.momentum)  # type: ignore[arg-type] # noqa: SLF001
            step = orthogonal(torch.stack(list(ahead)))
            step = step * max(1.0, step.shape[-2] / step.shape[-1]) ** 0.5
            torch._foreach_mul_(group, 1 - self.rate * self.decay)
            torch._foreach_add_(group, list(step.unbind(0)), alpha=-self.rate)
