"""Texts that every machine has: prose and code of Python's standard library, cut to given lengths in tokens."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np

from winnow.retrieval.model.tokenizer import PlainTokenizer

QUERY = "How do I open a compressed archive and read one file of it without unpacking the rest?"
CHINESE_QUERY = "如何在不解压其余内容的情况下读取压缩包中的一个文件？"


def texts_of(tokenizer: PlainTokenizer, lengths: list[int]) -> list[str]:
    """Distinct texts of these lengths, the same on every machine with this Python."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    found: list[str] = []
    for file in sorted(folder.glob("*.py")):
        text = file.read_text(encoding="utf-8")[:60_000]
        starts = [start for start, _ in tokenizer.offsets(text)]
        place = 0
        while len(found) < len(lengths) and place + lengths[len(found)] < len(starts):
            end = place + lengths[len(found)]
            found.append(text[starts[place] : starts[end]])
            place = end
        if len(found) == len(lengths):
            return found
    raise AssertionError(f"the standard library contains only {len(found)} such texts")


def lengths_about(mean: int, count: int) -> list[int]:
    """Chunk lengths as in a corpus: spread by a third around the mean; deterministic."""
    drawn = np.random.default_rng(2).normal(mean, mean / 3, count)
    return [int(length) for length in drawn.clip(8, 2 * mean)]
