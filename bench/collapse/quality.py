"""Which similarity separates near-identical passages from different ones on one subject, on data/corpus.

    python -m bench.collapse.quality [--embed-model M] [--without-vectors]

Every document gets near-identical copies: other white space, capitals, other punctuation, full width, one changed word.
Different passages of one subject are two documents that are judged relevant to the same query, translations included.
The table shows by measure and limit the share of copies that reach it, by kind, and the number of different pairs that
do. Passages are title and text, cut to the length of a chunk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from winnow.api.model_loading import load_embedding
from winnow.api.settings import load
from winnow.rerank.near_duplicates import cosine_similarities
from winnow.retrieval.lexical.shingles import shingle_similarities

CORPUS: Final = Path(__file__).resolve().parents[2] / "data" / "corpus"
CHARACTERS: Final = {"en": 1_000, "zh": 350}  # of a passage; about 256 tokens
LIMITS: Final = {"cosine": (0.90, 0.93, 0.95, 0.97, 0.98, 0.99), "shingles": (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)}
OTHER_WORD: Final = {"en": "yesterday", "zh": "昨天"}
_FULL_WIDTH: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_HALF_WIDTH: Final = str.maketrans("，。；：？！（）", ",.;:?!()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A passage of the corpus, and what its copies are called."""

    document_id: str
    language: str
    text: str


def read_passages(corpus: Path = CORPUS) -> list[Passage]:
    lines = (corpus / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        Passage(
            document_id=row["_id"],
            language=row["metadata"]["language"],
            text=f"{row['title']}\n{row['text'][: CHARACTERS[row['metadata']['language']]]}",
        )
        for row in map(json.loads, lines)
    ]


def copies(passage: Passage) -> Iterator[tuple[str, str]]:
    """Yield near-identical texts: (kind, text)."""
    text = passage.text
    spaced = re.sub(r"(?<=[，。；])", "\n ", text) if passage.language == "zh" else text.replace(" ", " \n ")
    yield "white space", spaced
    yield "capitals", text.upper()
    yield "punctuation", text.translate(_HALF_WIDTH).replace(", ", "; ").replace(". ", " - ")
    yield "full width", text.translate(_FULL_WIDTH)
    yield "one word", _with_another_word(passage)


def _with_another_word(passage: Passage) -> str:
    """Replace the word nearest to the middle: in Chinese, two characters."""
    pattern = r"[\u4e00-\u9fff]{2}" if passage.language == "zh" else r"[A-Za-z]{4,}"
    middle = len(passage.text) // 2
    nearest = min(re.finditer(pattern, passage.text), key=lambda found: abs(found.start() - middle))
    return passage.text[: nearest.start()] + OTHER_WORD[passage.language] + passage.text[nearest.end() :]


def one_subject(passages: Sequence[Passage], corpus: Path = CORPUS) -> list[tuple[int, int]]:
    """Pairs of passages that are relevant to the same query."""
    place = {passage.document_id: number for number, passage in enumerate(passages)}
    relevant: defaultdict[str, set[int]] = defaultdict(set)
    for line in (corpus / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, _ = line.split("\t")
        relevant[query].add(place[document])
    return sorted({pair for group in relevant.values() for pair in combinations(sorted(group), 2)})


async def measure(*, with_vectors: bool, embed_model: str | None) -> None:
    passages = read_passages()
    texts, kinds, originals = [each.text for each in passages], [""] * len(passages), list(range(len(passages)))
    for number, passage in enumerate(passages):
        for kind, text in copies(passage):
            texts.append(text)
            kinds.append(f"{kind}, {passage.language}")
            originals.append(number)
    subject = one_subject(passages)
    print(f"{len(passages)} passages, {len(texts) - len(passages)} copies, {len(subject)} pairs on one subject")
    similarities = {"shingles": shingle_similarities(texts)}
    if with_vectors:
        embedder = load_embedding(load({"embed_model": embed_model})).embedder
        similarities["cosine"] = cosine_similarities((await embedder.embed_passages(texts)).vectors)
    for measure_name, values in similarities.items():
        _print_table(measure_name, values, kinds=kinds, originals=originals, subject=subject)


def _print_table(
    measure_name: str,
    values: NDArray[np.float64],
    *,
    kinds: Sequence[str],
    originals: Sequence[int],
    subject: Sequence[tuple[int, int]],
) -> None:
    of_copies: defaultdict[str, list[float]] = defaultdict(list)
    for place, (kind, original) in enumerate(zip(kinds, originals, strict=True)):
        if kind:
            of_copies[kind].append(float(values[place, original]))
    count = kinds.count("")
    others = values[:count, :count][np.triu_indices(count, 1)]
    rows: Mapping[str, NDArray[np.float64]] = {
        **{kind: np.array(found) for kind, found in sorted(of_copies.items())},
        "one subject": np.array([values[pair] for pair in subject]),
        "any two passages": others,
    }
    limits = LIMITS[measure_name]
    print(f"\n| {measure_name} | least | median | most | {' | '.join(f'>= {limit:g}' for limit in limits)} |")
    print(f"|---|{'---|' * (3 + len(limits))}")
    for name, found in rows.items():
        figures = (found.min(), np.median(found), found.max())
        reached = [f"{int((found >= limit).sum())} of {len(found)}" for limit in limits]
        print(f"| {name} | {' | '.join(f'{figure:.3f}' for figure in figures)} | {' | '.join(reached)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embed-model")
    parser.add_argument("--without-vectors", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(measure(with_vectors=not arguments.without_vectors, embed_model=arguments.embed_model))


if __name__ == "__main__":
    main()
