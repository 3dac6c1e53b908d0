"""Facts about every token before the reranker is trained: meaning, rarity, and the kind it asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from training.sequences import Passages

CODES = 256  # numbers that encode the meaning of a token
PIECES = 20_000  # of the vocabulary; the added tokens after them have no meaning to match

_CHINESE = re.compile("[\u4e00-\u9fff，。；：]")
_LATIN = re.compile("[A-Za-z]{2}")
_PROGRAM = re.compile(r"[()\[\]{}=_]|def|self|return|import")

# Words with which an instruction states a preference. Only those that are one piece of the vocabulary count, and the
# telling piece of some that are split into several ("Ch|ines|e").
_ASKING = {
    "zh": ("Chinese chinese Mandarin 中文 汉语 汉 华语", ["ines"]),
    "en": ("English english 英文 英语 英", ["glish"]),
    "code": (
        "code Code snippets functions function implementation implementations programs Programs program source "
        "代码 源代码 源码 程序 函数 实现",
        [],
    ),
    "prose": (
        "prose Prose explanations Explanations explanation documentation description explain words "
        "文字 说明 解释 描述 自然语言",
        [" expl", "riptions"],
    ),
    "not": ("Avoid avoid not No no last than 不要 避免 后面", ["void"]),
}
ASKED = tuple(_ASKING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """One row, or one number, for each token."""

    codes: Tensor  # (vocabulary, CODES), unit rows: similar where the embedder's rows are
    rarity: Tensor  # 0 (everywhere, or never seen) to 1
    is_chinese: Tensor
    is_latin: Tensor
    is_program: Tensor
    asking: dict[str, list[int]]  # tokens that ask for a kind

    @classmethod
    def of(cls, rows: Tensor, passages: Passages, tokenizer: Tokenizer) -> Lexicon:
        """`rows` are those of the trained embedder."""
        size = len(rows)
        generator = torch.Generator().manual_seed(5)
        directions = torch.linalg.qr(torch.randn(rows.shape[1], rows.shape[1], generator=generator))[0][:, :CODES]
        words = [tokenizer.decode([number]) for number in range(tokenizer.get_vocab_size())]
        words += [""] * (size - len(words))

        def said(pattern: re.Pattern[str]) -> Tensor:
            return torch.tensor([float(bool(pattern.search(word))) for word in words])

        return cls(
            codes=functional.normalize((rows - rows.mean(0)) @ directions, dim=1),
            rarity=rarity(passages, size),
            is_chinese=said(_CHINESE),
            is_latin=said(_LATIN),
            is_program=said(_PROGRAM),
            asking={kind: _single(tokenizer, text.split(), pieces, words) for kind, (text, pieces) in _ASKING.items()},
        )


def _single(tokenizer: Tokenizer, asked: Sequence[str], pieces: Sequence[str], words: Sequence[str]) -> list[int]:
    encoded = [tokenizer.encode(spelt, add_special_tokens=False).ids for word in asked for spelt in (word, f" {word}")]
    return sorted({ids[0] for ids in encoded if len(ids) == 1} | {words.index(piece) for piece in pieces})


def rarity(passages: Passages, vocabulary: int) -> Tensor:
    """Inverse document frequency, scaled to at most 1."""
    count = len(passages.tokens.lengths)
    of_passage = np.repeat(np.arange(count), passages.tokens.lengths)
    each_once = np.unique(of_passage * vocabulary + passages.tokens.flat.astype(np.int64))
    holding = np.bincount(each_once % vocabulary, minlength=vocabulary)
    idf = np.log((count + 1) / (holding + 1))
    idf = np.clip(idf / idf.max(), 0, 1)
    idf[holding == 0] = 0
    idf[PIECES:] = 0
    return torch.tensor(idf, dtype=torch.float32)
