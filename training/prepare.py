"""Gathers every training source into three files: passages, pairs, twins.

    python -m training.prepare --datasets DIR --debian ROOT --packages SITE --out DIR

--debian is a folder with the unpacked Debian packages of README.md, --packages one with the unpacked wheels. The test
collections are excluded: see `Seen`.
"""

import argparse
import gzip
import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from training import functions, manuals
from training.records import Pair, Passage, Twin, write_records

CHINESE = re.compile(r"[\u4e00-\u9fff]")
PARAGRAPH_CHARACTERS = {"en": 1_600, "zh": 520}  # about 350 tokens of either language
WINDOW_MAX = 6  # parallel sentences joined into one paragraph, at most
SHARED = [
    "cmrc2018_dev_trial", "cmrc2018_train", "csl_title_kw_abstract", "drcd_dev_test",
    "laws_name_text", "medquad", "pubmedqa_labelled", "scifact_train", "strategyqa_facts",
    "tldr_en", "tldr_zh",
]  # fmt: skip
SHARED_PARALLEL = ["pydocs_en_zh", "tatoeba_en_zh", "tldr_en_zh"]


def language_of(text: str) -> str:
    return "zh" if len(CHINESE.findall(text)) * 5 > len(text) else "en"


def cut(text: str) -> list[str]:
    """Split into pieces of bounded length that end at a line or a sentence."""
    limit = PARAGRAPH_CHARACTERS[language_of(text)]
    pieces, piece = [], ""
    for part in re.split(r"(?<=[.!?。！？；\n])(?=\s|[^\x00-\x7f])|(?<=\n)", text):
        if piece and len(piece) + len(part) > limit:
            pieces.append(piece.strip())
            piece = ""
        piece += part
    pieces.append(piece.strip())
    return [piece[: 2 * limit] for piece in pieces if len(piece) > 1]


class Seen:
    """Texts of the test collections, so that none of them is trained on by accident."""

    def __init__(self, collections: Path) -> None:
        self.texts: set[str] = set()
        for path in sorted(collections.glob("*/queries.jsonl.gz")):
            self.texts.update(self.key(row["text"]) for row in read_gzip(path))
        # SciFact's training claims have judgments on SciFact's own abstracts, and stard-400's distractor articles are
        # ordinary statutes; all other documents are excluded.
        for name in ("cosqa", "xquad-mixed", "xquad-en-zh"):
            rows = read_gzip(collections / name / "corpus.jsonl.gz")
            self.texts.update(self.key(row["text"]) for row in rows)
        self.dropped = 0

    @staticmethod
    def key(text: str) -> str:
        return re.sub(r"\W+", "", text.lower())[:160]

    def __contains__(self, text: str) -> bool:
        found = self.key(text) in self.texts
        self.dropped += found
        return found


def read_gzip(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


class Gathering:
    """Passages, pairs and twins so far; a repeated text is one passage."""

    def __init__(self, seen: Seen, rng: random.Random) -> None:
        self.seen = seen
        self.rng = rng
        self.passages: list[Passage] = []
        self.pairs: list[Pair] = []
        self.twins: list[Twin] = []
        self._rows: dict[tuple[str, str], int] = {}

    def passage(self, source: str, text: str, *, title: str = "", kind: str = "prose") -> int:
        """Return its row, or -1 if it is one of the collections' texts."""
        if text in self.seen:
            return -1
        known = self._rows.get((title, text))
        if known is None:
            known = self._rows[title, text] = len(self.passages)
            language = language_of(text)
            self.passages.append(Passage(source=source, language=language, kind=kind, text=text, title=title))
        return known

    def pair(self, source: str, query: str, row: int) -> None:
        if row >= 0 and query.strip() and query not in self.seen:
            self.pairs.append(Pair(source=source, query=query.strip(), passage=row))

    def twin(self, source: str, first: int, second: int, query: str = "") -> None:
        if first >= 0 and second >= 0 and first != second:
            self.twins.append(Twin(source=source, query=query, first=first, second=second))


def add_shared(to: Gathering, folder: Path) -> None:
    for name in SHARED:
        for row in read_gzip(folder / f"{name}.jsonl.gz"):
            query, text = row["query"], row["pos"]
            title = ""
            if name == "laws_name_text":  # an article's name is its title in a corpus of laws
                title = query
            pieces = cut(text)
            if not pieces:
                continue
            to.pair(name, query, to.passage(name, pieces[0]))
            if title:
                to.passage(name, pieces[0], title=title)
            for piece in pieces[1:]:
                to.passage(name, piece)


def add_parallel(to: Gathering, source: str, lines: list[tuple[str, str]]) -> None:
    """Add the sentences, and windows of several of them joined into paragraphs."""
    rng = to.rng
    start = 0
    while start < len(lines):
        window = lines[start : start + rng.randint(2, WINDOW_MAX)]
        start += len(window)
        if len(window) > 1:
            english = " ".join(en for en, _ in window)[: PARAGRAPH_CHARACTERS["en"]]
            chinese = "".join(zh for _, zh in window)[: PARAGRAPH_CHARACTERS["zh"]]
            to.twin(f"{source}.window", to.passage(source, english), to.passage(source, chinese))
        for en, zh in window:
            to.twin(source, to.passage(source, en), to.passage(source, zh))


def add_shared_parallel(to: Gathering, folder: Path) -> None:
    for name in SHARED_PARALLEL:
        rows = read_gzip(folder / f"{name}.jsonl.gz")
        lines = [(row["query"].strip("\ufeff "), row["pos"].strip()) for row in rows]
        if name == "tatoeba_en_zh":
            to.rng.shuffle(lines)  # published sorted by length, so windows would be uneven
        add_parallel(to, name, lines)


def add_manuals(to: Gathering, root: Path) -> None:
    for page in manuals.help_pages(root):
        add_parallel(to, "libreoffice_help", page)
    for page in manuals.book_pages(root):
        add_parallel(to, "debian_books", page)
    for source, folder in (("manpages", "man"), ("manpages_zh", "man/zh_CN")):
        for name, text in manuals.manual_pages(root / "usr/share" / folder):
            for number, piece in enumerate(cut(text)):
                titled = name if number % 2 else ""
                to.passage(source, piece, title=titled)
    for en, zh in manuals.code_list_names(Path("/usr/share/locale")):
        to.twin("iso_codes", to.passage("iso_codes", en), to.passage("iso_codes", zh))


def code_queries(function: functions.Function, rng: random.Random) -> tuple[str, str]:
    """What a person looking for this function may type: from its summary, and from its name."""
    summary = function.summary.rstrip(".!")
    lowered = summary[:1].lower() + summary[1:]
    words = functions.name_words(function.name)
    by_summary = [summary, lowered, f"python {lowered}", f"how to {lowered} in python"]
    if len(lowered.split()) > 5:
        lowered = " ".join(word for word in lowered.split() if rng.random() > 0.3)
    by_name = [words, f"python {words}", f"{words} python", f"python {lowered}", lowered]
    return rng.choice(by_summary), rng.choice(by_name)


def add_functions(to: Gathering, source: str, found: Iterable[functions.Function]) -> None:
    for function in found:
        bare = to.passage(source, function.code, kind="code")
        full = to.passage(source, function.full, kind="code")
        if bare < 0 or full < 0:
            continue
        first, second = code_queries(function, to.rng)
        to.pair(source, first, bare)
        to.pair(source, second, full)
        if len(function.rest) > 80:
            prose = to.passage(source, f"{function.name}: {function.rest}"[:1600])
            to.twin(f"{source}.kinds", prose, bare, query=function.summary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=Path, default=os.environ.get("WINNOW_DATASETS"))  # noqa: TID251
    parser.add_argument("--debian", type=Path, required=True)
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    gathering = Gathering(Seen(Path(options.datasets) / "collections"), random.Random(options.seed))
    add_shared(gathering, Path(options.datasets) / "training")
    add_shared_parallel(gathering, Path(options.datasets) / "training")
    add_manuals(gathering, options.debian)
    add_functions(gathering, "stdlib", functions.standard_library())
    add_functions(gathering, "packages", functions.packages(options.packages))
    options.out.mkdir(parents=True, exist_ok=True)
    write_records(options.out / "passages.jsonl.xz", gathering.passages)
    write_records(options.out / "pairs.jsonl.xz", gathering.pairs)
    write_records(options.out / "twins.jsonl.xz", gathering.twins)
    print("excluded because the collections contain it:", gathering.seen.dropped)
    for name, records in (("passages", gathering.passages), ("pairs", gathering.pairs),
                          ("twins", gathering.twins)):  # fmt: skip
        print(name, len(records), dict(Counter(record.source for record in records)))


if __name__ == "__main__":
    main()
