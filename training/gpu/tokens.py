"""Writes every text of the GPU training as token ids in one flat array, once, for all processes.

python -m training.gpu.tokens --texts FILE --tokenizer FILE --out FILE.npz
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
from collections.abc import Iterable, Sequence
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.gpu import exclusions, pieces
from training.records import is_held_out
from training.texts_alike import TASKS
from winnow.rerank.prompt import PREFIX, SUFFIX

PASSAGE_TOKENS_MAX = 320
_AT_ONCE = 40_000
BEFORE_DOCUMENT = "\n<Document>:"
Arrays = dict[str, NDArray[np.generic]]


def shown(text: exclusions.Text) -> str:
    return f"{text[4]}\n{text[3]}" if text[4] else text[3]


def encoded(tokenizer: Tokenizer, texts: Iterable[str], tokens_max: int) -> list[NDArray[np.uint16]]:
    found: list[NDArray[np.uint16]] = []
    kept = list(texts)
    for start in range(0, len(kept), _AT_ONCE):
        batch = tokenizer.encode_batch_fast(kept[start : start + _AT_ONCE], add_special_tokens=False)
        found += [np.array(one.ids[:tokens_max], np.uint16) for one in batch]
    return found


def said_of_exclusions(made: Sequence[exclusions.Excluded]) -> list[str]:
    return [pieces.instructed(text) for one in made for text in (one.wants_first, one.wants_second)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("texts", "tokenizer", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--exclusions", type=int, default=130_000)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    passages, questions, twins = pickle.loads(options.texts.read_bytes())  # noqa: S301 (written by training.gpu.gather)
    tokenizer = Tokenizer.from_file(str(options.tokenizer))
    held = np.array([is_held_out(p[3]) for p in passages])
    usable = [i for i, p in enumerate(passages) if p[2] == "prose" and len(p[3]) > 60 and not held[i]]
    rows = rng.sample(usable, min(len(usable), 200_000))
    with Pool(1) as beside:
        composed = beside.apply_async(pieces.table, (random.Random(options.seed),))
        made = exclusions.find(passages, rows, str(options.tokenizer), count=options.exclusions,
                               processes=options.processes, held=False, seed=options.seed)  # fmt: skip
        table = composed.get()
    parts: list[tuple[str, list[NDArray[np.uint16]]]] = [
        ("passage", encoded(tokenizer, (" " + shown(p)[:2_600] for p in passages), PASSAGE_TOKENS_MAX)),
        ("query", encoded(tokenizer, (" " + q[:500] for _, q, _ in questions), 128)),
        ("asked", encoded(tokenizer, (" " + q[:500] + BEFORE_DOCUMENT for _, q, _ in questions), 128)),
        ("twin", encoded(tokenizer, (" " + q[:300] for _, q, _, _ in twins), 64)),
        ("excluded", encoded(tokenizer, (" " + one.query + BEFORE_DOCUMENT for one in made), 64)),
        ("instructed", encoded(tokenizer, said_of_exclusions(made), 160)),
        ("piece", encoded(tokenizer, table.texts, 400)),
        ("scaffold", encoded(tokenizer, [PREFIX, SUFFIX, *(f"Instruct: {task}\nQuery:" for task in TASKS)], 200)),
    ]
    sources = sorted({p[0] for p in passages})
    number = {source: i for i, source in enumerate(sources)}
    asked_of = sorted({q[0] for q in questions} | {t[0] for t in twins})
    group = {source: i for i, source in enumerate(asked_of)}
    arrays: Arrays = {
        "flat": np.concatenate([row for _, rows_ in parts for row in rows_]),
        "lengths": np.array([len(row) for _, rows_ in parts for row in rows_], np.int32),
        "passage_source": np.array([number[p[0]] for p in passages], np.int32),
        "is_chinese": np.array([p[1] == "zh" for p in passages]),
        "is_code": np.array([p[2] == "code" for p in passages]),
        "is_held": held,
        "query_group": np.array([group[q[0]] for q in questions], np.int32),
        "query_passage": np.array([q[2] for q in questions], np.int64),
        "query_held": np.array([is_held_out(q[1]) for q in questions]),
        "twin_group": np.array([group[t[0]] for t in twins], np.int32),
        "twin_rows": np.array([t[2:] for t in twins], np.int64).reshape(-1, 2),
        "excluded_rows": np.array([(one.first, one.second) for one in made], np.int64).reshape(-1, 2),
    }
    counts = {name: len(rows_) for name, rows_ in parts}
    known = {"counts": counts, "sources": sources, "groups": asked_of, "pieces": table.places}
    options.out.with_suffix(".json").write_text(json.dumps(known, ensure_ascii=False), encoding="utf-8")
    np.savez(options.out, **arrays)  # type: ignore[arg-type]
    print({**counts, "tokens": len(arrays["flat"])}, flush=True)


if __name__ == "__main__":
    main()
