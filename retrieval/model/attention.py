"""Attention in a pack: each token sees the shared prefix and its own sequence, never another one.

The rows of a pack are stored without padding. A group of equal lengths becomes a batch by a change of view. Similar
lengths are gathered with padding at the end, where causality hides it from every real token.

In float32 on a CPU the prefix is not copied in front of each sequence: attention over the prefix and over the own part
are computed apart and merged by the weights of both, as flash attention merges its blocks. Others join keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from winnow.retrieval.model.packing import Group

Past = tuple[Tensor, Tensor] | None  # keys and values of a prefix, each (1, kv_heads, tokens, head_dim)

_aten: Final[Any] = torch.ops.aten
_QUERY_BLOCK: Final = 256  # rows at once on a CPU: skips most of what lies above the diagonal, and masks stay small


class Rows:
    """A group's tokens as a batch."""

    def __init__(self, group: Group, device: torch.device) -> None:
        self.group = group
        self.count = len(group.lengths)
        self.visible: Tensor | None = None  # (count, longest), False is padding; None if there is no padding
        if not group.is_even:
            lengths = torch.tensor(group.lengths, device=device).unsqueeze(1)
            places = torch.arange(group.longest, device=device).unsqueeze(0)
            self.visible = places < lengths
            firsts = group.start + lengths.cumsum(0) - lengths
            self._source = (firsts + torch.minimum(places, lengths - 1)).flatten()
            self._kept = self.visible.flatten().nonzero().squeeze(1)

    def spread(self, tokens: Tensor) -> Tensor:
        """(all tokens, heads, head_dim) to (count, heads, longest, head_dim)"""
        mine = tokens[self.group.start : self.group.stop] if self.visible is None else tokens[self._source]
        return mine.view(self.count, self.group.longest, *tokens.shape[1:]).transpose(1, 2)

    def join(self, attended: Tensor) -> Tensor:
        """(count, heads, longest, head_dim) to (the group's tokens, heads * head_dim)"""
        return self.tokens(attended).flatten(1)

    def tokens(self, found: Tensor) -> Tensor:
        """(count, heads, longest, ...) to (the group's tokens, heads, ...)"""
        flat = found.transpose(1, 2).flatten(0, 1)
        return flat if self.visible is None else flat[self._kept]


def attend(queries: Tensor, keys: Tensor, values: Tensor, rows: list[Rows], past: Past) -> Tensor:
    """Causal attention of every token: (tokens, query_heads * head_dim)."""
    if past is not None and _merges(queries):
        own = []
        for group in rows:
            part = _flash(group.spread(queries), group.spread(keys), group.spread(values), is_causal=True)
            own.append(_Part(attended=group.tokens(part.attended), weight=group.tokens(part.weight)))
        return _merged(_over_prefix(queries, past), own)
    attended = []
    for group in rows:
        own_keys, own_values = _after(past, group.spread(keys), group.spread(values))
        attended.append(group.join(_causal(group.spread(queries), own_keys, own_values)))
    return torch.cat(attended)


def attend_from_ends(queries: Tensor, keys: Tensor, values: Tensor, rows: list[Rows], past: Past) -> Tensor:
    """Attention of the last token of each sequence only; `queries` has one row per sequence."""
    ends = queries.unsqueeze(2).split_with_sizes([group.count for group in rows])
    if past is not None and _merges(queries):
        own = []
        for mine, group in zip(ends, rows, strict=True):
            padding = None if group.visible is None else _minus_infinity(~group.visible)[:, None, None, :]
            part = _flash(mine, group.spread(keys), group.spread(values), attn_mask=padding)
            own.append(_Part(attended=part.attended.squeeze(2), weight=part.weight.squeeze(2)))
        return _merged(_over_prefix(queries, past), own)
    attended = []
    for mine, group in zip(ends, rows, strict=True):
        own_keys, own_values = _after(past, group.spread(keys), group.spread(values))
        mask = None
        if group.visible is not None:
            before = own_keys.shape[2] - group.group.longest
            mask = functional.pad(group.visible, (before, 0), value=True)[:, None, None, :]
        found = functional.scaled_dot_product_attention(mine, own_keys, own_values, attn_mask=mask, enable_gqa=True)
        attended.append(found.flatten(1))
    return torch.cat(attended)


@dataclass(frozen=True, slots=True)
class _Part:
    """Attention over a part of the keys."""

    attended: Tensor  # (..., heads, head_dim)
    weight: Tensor  # (..., heads): the logarithm of the sum over which the softmax divided


def _merges(queries: Tensor) -> bool:
    return queries.device.type == "cpu" and queries.dtype == torch.float32


def _over_prefix(queries: Tensor, past: tuple[Tensor, Tensor]) -> _Part:
    """Every token sees all of the prefix, so the tokens of a pack are one sequence here."""
    part = _flash(queries.transpose(0, 1).unsqueeze(0), *past)
    return _Part(attended=part.attended[0].transpose(0, 1), weight=part.weight[0].transpose(0, 1))


def _flash(
    queries: Tensor, keys: Tensor, values: Tensor, *, is_causal: bool = False, attn_mask: Tensor | None = None
) -> _Part:
    """What scaled_dot_product_attention calls on a CPU, with the weight that it drops."""
    shared = queries.shape[1] // keys.shape[1]
    if shared > 1:
        keys, values = keys.repeat_interleave(shared, 1), values.repeat_interleave(shared, 1)
    attend_on_cpu = _aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001  torch spells its operators so
    return _Part(*attend_on_cpu(queries, keys, values, is_causal=is_causal, attn_mask=attn_mask))


def _merged(prefix: _Part, own: list[_Part]) -> Tensor:
    attended, weight = torch.cat([part.attended for part in own]), torch.cat([part.weight for part in own])
    share = torch.sigmoid(prefix.weight - weight).unsqueeze(2)
    return attended.lerp_(prefix.attended, share).flatten(1)


def _minus_infinity(where: Tensor) -> Tensor:
    return torch.zeros(where.shape).masked_fill_(where, -torch.inf)


def _after(past: Past, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Prepend the prefix's keys and values."""
    if past is None:
        return keys, values
    count = keys.shape[0]
    return (
        torch.cat((past[0].expand(count, -1, -1, -1), keys), dim=2),
        torch.cat((past[1].expand(count, -1, -1, -1), values), dim=2),
    )


def _causal(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention: the last query sees all keys, the one before it all but one, and so on."""
    length, before = queries.shape[2], keys.shape[2] - queries.shape[2]
    attention = functional.scaled_dot_product_attention
    if before == 0:
        return attention(queries, keys, values, is_causal=True, enable_gqa=True)
    if queries.is_cuda:
        from torch.nn.attention.bias import causal_lower_right  # brings torch._dynamo: a second, for nothing on a CPU

        corner = causal_lower_right(length, before + length)
        return attention(queries, keys, values, attn_mask=corner, enable_gqa=True)
    blocks = []
    for start in range(0, length, _QUERY_BLOCK):
        stop = min(start + _QUERY_BLOCK, length)
        seen = before + stop
        block = queries[:, :, start:stop], keys[:, :, :seen], values[:, :, :seen]
        blocks.append(attention(*block, attn_mask=_mask(stop - start, seen, queries.dtype), enable_gqa=True))
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)


def _mask(rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """(rows, columns) mask whose last row sees everything: a window into one band that serves all sizes."""
    width = 1024
    while width < columns:
        width *= 2
    return _band(width, dtype)[:rows, width - columns + rows : width + rows]


@lru_cache(maxsize=8)
def _band(width: int, dtype: torch.dtype) -> Tensor:
    """(_QUERY_BLOCK, width + _QUERY_BLOCK): zeros, and minus infinity above the diagonal of the last columns."""
    hidden = torch.full((_QUERY_BLOCK, _QUERY_BLOCK), -torch.inf, dtype=dtype).triu(1)
    return torch.cat((torch.zeros(_QUERY_BLOCK, width, dtype=dtype), hidden), dim=1)
