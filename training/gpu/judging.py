"""The reranker and the embedder on plain texts, for measuring: the product's prompt, one row per document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.bag import Bag
from training.gpu.network import DEVICE, ON_GPU, Network, read_weights
from training.gpu.pieces import instructed
from training.gpu.reranker import autocast
from training.gpu.tokens import BEFORE_DOCUMENT
from winnow.rerank.prompt import PREFIX, SUFFIX
from winnow.retrieval.embed.embedder import DEFAULT_TASK, query_prompt

TOKENS_MAX = 512
_AT_ONCE = 1_024 if ON_GPU else 16


class Judge:
    def __init__(self, network: Network, tokenizer: Tokenizer) -> None:
        self.network, self.tokenizer = network, tokenizer
        self.prefix, self.suffix = self.ids(PREFIX), self.ids(SUFFIX)
        self.yes, self.no = self.ids("yes")[0], self.ids("no")[0]
        self.end = tokenizer.token_to_id("<|endoftext|>")

    @classmethod
    def load(cls, path: Path, tokenizer: Path) -> Judge:
        """A reranker.pt, or an exported reranker's folder."""
        shape, weights = read_weights(path)
        network = Network(shape, compiled=False, flexible=False)
        network.load_state_dict({name: value.float() for name, value in weights.items()})
        return cls(network.to(DEVICE).eval(), Tokenizer.from_file(str(tokenizer)))

    def ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return found

    @torch.no_grad()
    def logits(self, instructions: Sequence[str], queries: Sequence[str], documents: Sequence[str]) -> np.ndarray:
        heads: dict[tuple[str, str], list[int]] = {}
        rows: list[list[int]] = []
        said = self.tokenizer.encode_batch_fast([f" {text[:4_000]}" for text in documents], add_special_tokens=False)
        for instruction, query, document in zip(instructions, queries, said, strict=True):
            if (instruction, query) not in heads:
                told = f"{instructed(instruction)} {query}{BEFORE_DOCUMENT}"
                heads[instruction, query] = [*self.prefix, *self.ids(told)[:220]]
            head = heads[instruction, query]
            rows.append([*head, *document.ids[: TOKENS_MAX - len(head) - len(self.suffix)], *self.suffix])
        out = np.zeros(len(rows), np.float32)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for first in range(0, len(order), _AT_ONCE):
            some = order[first : first + _AT_ONCE]
            length = max(len(rows[i]) for i in some)
            ids = torch.full((len(some), length), self.end)
            for place, i in enumerate(some):
                ids[place, : len(rows[i])] = torch.tensor(rows[i])
            last = torch.tensor([[len(rows[i]) - 1] for i in some], device=DEVICE)
            with autocast():
                states = self.network.states(ids.to(DEVICE), None, None, fast=False)
            out[some] = self.network.logits(states, last, self.yes, self.no)[:, 0].float().cpu().numpy()
        return out


@torch.no_grad()
def embedded(bag: Bag, tokenizer: Tokenizer, texts: Sequence[str], *, is_query: bool) -> Tensor:
    end = tokenizer.token_to_id("<|endoftext|>")
    prefix = tokenizer.encode(query_prompt("", DEFAULT_TASK), add_special_tokens=False).ids if is_query else []
    table, parts = bag.table(), []
    for first in range(0, len(texts), 1_024):
        batch = tokenizer.encode_batch_fast(list(texts[first : first + 1_024]), add_special_tokens=False)
        rows = [[*prefix, *one.ids[:8_000], end] for one in batch]
        sizes = torch.tensor([len(row) for row in rows], device=DEVICE)
        flat = torch.tensor([i for row in rows for i in row], device=DEVICE)
        parts.append(bag.embed(table, flat, sizes.cumsum(0) - sizes, end).float())
    return torch.cat(parts)
