"""The reranker during training: a three-layer Qwen3, with a request's passages after one shared question.

Lists are scored as in the product: system text, instruction and query are computed once, and each passage attends to
their keys and values. The last layer computes only the last position. Both make a step on one core several times
cheaper than a padded batch of whole prompts.

Names are those of Qwen3's checkpoints, so `training.export` only rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.bag import EPSILON, HEAD_WIDTH
from training.meanings import VOCABULARY

LAYERS = 3
WIDTH = 384
HEADS = 6
INTERMEDIATE = 64
ROPE_THETA = 1e10  # as the embedder's: most of a head's dimensions then compare tokens, not positions
HALF = HEAD_WIDTH // 2


class Weight(nn.Module):
    """A parameter with the name `weight`, as in checkpoints."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(value)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (Weight(torch.zeros(HEADS * HEAD_WIDTH, WIDTH)) for _ in range(3))
        self.o_proj = Weight(torch.zeros(WIDTH, HEADS * HEAD_WIDTH))
        self.q_norm = Weight(torch.ones(HEAD_WIDTH))
        self.k_norm = Weight(torch.ones(HEAD_WIDTH))


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate_proj = Weight(torch.zeros(INTERMEDIATE, WIDTH))
        self.up_proj = Weight(torch.zeros(INTERMEDIATE, WIDTH))
        self.down_proj = Weight(torch.zeros(WIDTH, INTERMEDIATE))


@dataclass(frozen=True, slots=True)
class Heads:
    """Queries, keys and values of some rows of tokens: (rows, heads, tokens, head width)."""

    queries: Tensor
    keys: Tensor
    values: Tensor


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attn = Attention()
        self.mlp = Mlp()
        self.input_layernorm = Weight(torch.ones(WIDTH))
        self.post_attention_layernorm = Weight(torch.ones(WIDTH))

    def heads(self, states: Tensor, positions: Tensor) -> Heads:
        attention, normed = self.self_attn, normalised(states, self.input_layernorm)
        cos, sin = angles(positions)

        def split(projection: Weight) -> Tensor:
            return functional.linear(normed, projection.weight).unflatten(-1, (HEADS, HEAD_WIDTH))

        queries = turned(normalised(split(attention.q_proj), attention.q_norm), cos, sin)
        keys = turned(normalised(split(attention.k_proj), attention.k_norm), cos, sin)
        return Heads(queries.transpose(1, 2), keys.transpose(1, 2), split(attention.v_proj).transpose(1, 2))

    def finish(self, states: Tensor, attended: Tensor) -> Tensor:
        """Add the attention's output, then the MLP's."""
        joined = attended.transpose(1, 2).flatten(2)
        states = states + functional.linear(joined, self.self_attn.o_proj.weight)
        normed, mlp = normalised(states, self.post_attention_layernorm), self.mlp
        gated = functional.silu(functional.linear(normed, mlp.gate_proj.weight))
        return states + functional.linear(gated * functional.linear(normed, mlp.up_proj.weight), mlp.down_proj.weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Some questions, each with the same number of passages. All padded on the right."""

    shared: Tensor  # (lists, shared tokens): system text, instruction and query
    shared_lengths: Tensor  # (lists,)
    tails: Tensor  # (lists, passages, tail tokens): a passage and the suffix
    tail_lengths: Tensor  # (lists, passages)


class Judge(nn.Module):
    """Maps lists to yes minus no. All zero until `training.judge_start` sets it, or a file is loaded."""

    def __init__(self, vocabulary: int = VOCABULARY) -> None:
        super().__init__()
        self.embed_tokens = Weight(torch.zeros(vocabulary, WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = Weight(torch.ones(WIDTH))

    def forward(self, lists: Lists, yes: int, no: int) -> Tensor:
        """(lists, passages): the logit of `yes` minus that of `no` after each prompt."""
        count, each, _ = lists.tails.shape
        rows, masks = self.embed_tokens.weight, Masks.of(lists)
        shared, tails = rows[lists.shared], rows[lists.tails].flatten(0, 1)
        tail_positions = masks.tail_positions(lists)
        shared_positions = torch.arange(lists.shared.shape[1]).expand(lists.shared.shape)
        *middle, last = self.layers
        for layer in middle:
            of_shared, of_tails = layer.heads(shared, shared_positions), layer.heads(tails, tail_positions)
            keys, values = behind(of_shared, of_tails, each)
            shared = layer.finish(
                shared,
                functional.scaled_dot_product_attention(
                    of_shared.queries, of_shared.keys, of_shared.values, attn_mask=masks.shared
                ),
            )
            tails = layer.finish(
                tails, functional.scaled_dot_product_attention(of_tails.queries, keys, values, attn_mask=masks.tails)
            )
        of_shared, of_tails = last.heads(shared, shared_positions), last.heads(tails, tail_positions)
        keys, values = behind(of_shared, of_tails, each)
        ends = lists.tail_lengths.flatten() - 1
        queries = of_tails.queries.gather(2, ends[:, None, None, None].expand(-1, HEADS, 1, HEAD_WIDTH))
        attended = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=masks.ends)
        state = last.finish(tails.gather(1, ends[:, None, None].expand(-1, 1, WIDTH)), attended)
        state = normalised(state[:, 0], self.norm).float()
        return (state @ (rows[yes] - rows[no]).float()).view(count, each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """Attention masks: True where a query position may see a key position."""

    shared: Tensor
    tails: Tensor
    ends: Tensor  # of each tail's last position only

    @classmethod
    def of(cls, lists: Lists) -> Masks:
        _, each, width = lists.tails.shape
        shared_width = lists.shared.shape[1]
        is_shared = torch.arange(shared_width) < lists.shared_lengths[:, None]
        past = torch.ones(shared_width, shared_width, dtype=torch.bool).tril()
        # Padding sees at least itself: a row that sees nothing would be NaN, and NaN times zero is NaN.
        shared = past & is_shared[:, None, None, :] | torch.eye(shared_width, dtype=torch.bool)
        before = is_shared.repeat_interleave(each, 0)
        tail_past = torch.ones(width, width, dtype=torch.bool).tril().expand(len(before), 1, width, width)
        tails = torch.cat([before[:, None, None, :].expand(-1, 1, width, shared_width), tail_past], -1)
        is_tail = torch.arange(width) < lists.tail_lengths.flatten()[:, None]
        return cls(shared=shared, tails=tails, ends=torch.cat([before, is_tail], 1)[:, None, None, :])

    @staticmethod
    def tail_positions(lists: Lists) -> Tensor:
        """A tail continues where its own shared part ends, without padding."""
        _, each, width = lists.tails.shape
        return (lists.shared_lengths[:, None] + torch.arange(width)).repeat_interleave(each, 0)


def behind(shared: Heads, tails: Heads, each: int) -> tuple[Tensor, Tensor]:
    """Keys and values of each tail, preceded by those of its shared part."""
    keys = torch.cat([shared.keys.repeat_interleave(each, 0), tails.keys], 2)
    values = torch.cat([shared.values.repeat_interleave(each, 0), tails.values], 2)
    return keys, values


def normalised(states: Tensor, norm: Weight) -> Tensor:
    wide = functional.rms_norm(states.float(), (states.shape[-1],), eps=EPSILON)
    return wide.to(states.dtype) * norm.weight


def angles(positions: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, tokens, 1, head width), cosine and sine."""
    speeds = ROPE_THETA ** (-torch.arange(0, HALF, dtype=torch.float32) / HALF)
    turns = positions[..., None].float() * speeds
    both = torch.cat([turns, turns], -1)[:, :, None]
    return both.cos(), both.sin()


def turned(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return heads * cos + torch.cat([-heads[..., HALF:], heads[..., :HALF]], -1) * sin
