"""Writes training samples from local checkouts of public repositories.

    python -m training.sources.gather --mirrors DIR --collections DIR --out DIR [--only NAME ...]

Mirrors are one folder per repository, OWNER+NAME, with its files checked out (see SOURCES.md); nothing is downloaded.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from training.sources import answers, books, catalog, docs, forum, law, reference
from training.sources.overlap import Collections
from training.sources.sample import Known, Sample, Shards

ARXIV = ["dw-dengwei+daily-arXiv-ai-enhanced", "Straw674+daily-arXiv-astro-ph"]
CARPENTRIES = ["swcarpentry+shell-novice", "swcarpentry+git-novice", "swcarpentry+python-novice-inflammation"]
LISTS = [
    ("vinta+awesome-python", "CC BY 4.0", "Python"),
    ("awesome-selfhosted+awesome-selfhosted", "CC BY-SA 3.0", "self-hosted"),
]  # fmt: skip
FILES = {
    "proposal": "proposals",
    "news": "news",
    "book": "books",
    "qa": "questions",
    "handbook": "general",
    "clinical": "clinical",
}


def batches(mirrors: Path) -> Iterator[tuple[str, Iterator[Sample]]]:
    """(name of the files, samples); held-out samples have their own files."""
    yield "dev-scitldr", answers.scitldr(mirrors)
    yield "dev-covid-faq", answers.covid_faq(mirrors)
    yield "dev-covid-papers", answers.covid_papers(mirrors)
    yield "dev-legal-advice", answers.legal_advice(mirrors, heldout=True)
    yield "law", answers.legal_advice(mirrors, heldout=False)
    yield "law", law.statutes(mirrors)
    yield "law", law.cases(mirrors)
    yield "clinical", answers.clinical_notes(mirrors)
    yield "questions", answers.interviews(mirrors)
    yield "questions", answers.course_questions(mirrors, CARPENTRIES)
    for folder, name, heldout in forum.SITES:
        samples = forum.site(mirrors, folder, name, heldout=heldout)
        yield (f"dev-stackexchange-{name}" if heldout else "forum"), samples
    yield "papers", answers.arxiv([mirrors / name for name in ARXIV], 7)
    yield "reference", reference.factbook(mirrors)
    yield "reference", reference.awesome(mirrors, LISTS)
    yield "reference", reference.recipes(mirrors)
    yield "reference", reference.poems(mirrors)
    yield "reference", reference.classics(mirrors)
    for source in catalog.DOCS:
        yield (source.name if source.heldout else FILES.get(source.kind, "docs")), docs.samples(mirrors, source)
    for book in books.BOOKS:
        yield (book.name if book.heldout else "textbooks"), books.samples(mirrors, book)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirrors", type=Path, required=True)
    parser.add_argument("--collections", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[], help="names of files to write; default: all")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    collections = Collections(options.collections)
    known = Known()
    files: dict[str, Shards] = {}
    for name, samples in batches(options.mirrors):
        if options.only and name not in options.only:
            continue
        started = time.monotonic()
        if name not in files:
            files[name] = Shards(options.out, name)
        shards = files[name]
        before = sum(shards.counts.values())
        for sample in samples:
            if known.admits(sample) and not collections.hold(sample.question, sample.passage):
                shards.write(sample)
        print(name, sum(shards.counts.values()) - before, f"{time.monotonic() - started:.1f} s", flush=True)
    for name, shards in files.items():
        shards.close()
        for (source, licence, lang), count in sorted(shards.counts.items()):
            print("|", name, "|", source, "|", licence, "|", lang, "|", count, "|")
    print("left out because the collections contain it:", collections.dropped)


if __name__ == "__main__":
    main()
