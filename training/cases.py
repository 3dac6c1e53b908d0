"""Builds cases that the instruction decides: one question, the same content in two kinds, one preferred.

    python -m training.cases --data DIR --out FILE [--kind language|code] [--limit 400] [--trained]

Without --trained both sides are held out: twins by their hash (records.is_held_out), wordings by
held_out_instructions.json. `training.judged_lists` excludes the wordings but not the twins, so a list may have
contained a case's passage, as it may have contained a paragraph's sentences; the preference is measured, not the
memory.
"""

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from training import instructions
from training.records import Passage, Twin, is_held_out, read_passages, read_twins

KINDS = {"language": ("en", "zh"), "code": ("prose", "code")}
CHARACTERS_MIN = {"en": 80, "zh": 30, "prose": 80, "code": 80}  # shorter ones are mere labels
QUERY_WORDS, QUERY_CHARACTERS = (5, 12), (8, 24)  # of a question cut from English, from Chinese


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Right if `first` comes first with `wants_first`, and `second` with `wants_second`."""

    kind: str  # "language" or "code"
    query: str
    first: str  # English, or prose
    second: str  # Chinese, or code
    wants_first: str
    wants_second: str


def kinds_of(kind: str, passage: Passage) -> str:
    return passage.language if kind == "language" else passage.kind


def usable(kind: str, first: Passage, second: Passage, *, trained: bool) -> bool:
    if (kinds_of(kind, first), kinds_of(kind, second)) != KINDS[kind]:
        return False  # a "translation" without Chinese characters, for example
    if (is_held_out(first.text) or is_held_out(second.text)) == trained:
        return False
    pairs = zip(KINDS[kind], (first, second), strict=True)
    return all(len(passage.text) >= CHARACTERS_MIN[name] for name, passage in pairs)


def piece(text: str, language: str, rng: random.Random) -> str:
    """Some words of a passage, as long as a question."""
    if language == "zh":
        length = rng.randint(*QUERY_CHARACTERS)
        start = rng.randint(0, max(0, len(text) - length))
        return text[start : start + length].strip()
    words = text.split()
    length = rng.randint(*QUERY_WORDS)
    start = rng.randint(0, max(0, len(words) - length))
    return " ".join(words[start : start + length])


def cases(passages: Sequence[Passage], twins: Sequence[Twin], kind: str, *, trained: bool,
          rng: random.Random) -> Iterator[Case]:  # fmt: skip
    """Yield every usable twin once, in random order, with one wording for each of its two kinds."""
    choose = instructions.preferring if trained else instructions.held_out
    wordings = [choose(name) for name in KINDS[kind]]
    asked_in_first = False
    for twin in rng.sample(twins, len(twins)):
        if twin.source.endswith(".kinds") != (kind == "code"):
            continue
        first, second = passages[twin.first], passages[twin.second]
        if not usable(kind, first, second, trained=trained):
            continue
        asked_in_first = not asked_in_first  # the question's own language favours neither side
        source = first if asked_in_first else second
        yield Case(
            kind=kind,
            query=twin.query or piece(source.text, source.language, rng),
            first=first.shown,
            second=second.shown,
            wants_first=rng.choice(wordings[0]),
            wants_second=rng.choice(wordings[1]),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kind", choices=sorted(KINDS), default="language")
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--trained", action="store_true")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    found = cases(read_passages(options.data), read_twins(options.data), options.kind,
                  trained=options.trained, rng=random.Random(options.seed))  # fmt: skip
    count = 0
    with options.out.open("w", encoding="utf-8") as out:
        for case in found:
            if count == options.limit:
                break
            out.write(json.dumps(asdict(case), ensure_ascii=False) + "\n")
            count += 1
    print(f"{count} cases written to {options.out}")


if __name__ == "__main__":
    main()
