"""Code in documentation and the prose around it, for instructions that want the one or the other.

    python -m training.sources.fenced --mirrors DIR --collections DIR --out FILE.jsonl.xz

Of each section of the sources of catalog.DOCS that has a fenced block: the block, the section's text without its
blocks, and questions from its headings. Blocks are of many languages, shell sessions, configuration, queries, logs;
comments are English or Chinese. Held-out sources are left out.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing import Pool
from pathlib import Path

from training.sources import catalog, questions
from training.sources.docs import Docs, pages
from training.sources.markdown import front_matter, plain, plain_heading
from training.sources.overlap import Collections
from training.sources.sample import language_of

_BLOCK = re.compile(
    r"^([ \t]*)(?:```|~~~)[ \t]*\{?([\w+-]*)[^\n]*\n(.*?)^[ \t]*(?:```|~~~)[ \t]*$", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(r"^(#{1,5})[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_NOT_CODE = {"mermaid", "md", "markdown", "math", "mdx", "figure", "eval_rst", "toc"}
_INCLUDED = ("{{", "<<<", ".. ")  # the name of a file whose text a page would have here
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.-]{3,30}")
CODE = (50, 1_600)  # characters
PROSE = {"en": (140, 1_500), "zh": (50, 700)}
PER_SECTION, PER_PAGE = 2, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced:
    source: str
    licence: str
    lang: str  # of the prose
    form: str  # what the fence says of its language; "" if nothing
    question: str
    heading: str
    prose: str
    code: str


def of_page(docs: Docs, path: Path) -> Iterator[Fenced]:
    source = path.read_text(encoding="utf-8", errors="ignore").replace("\r\n", "\n")
    fields, body = front_matter(source)
    page, kept = plain_heading(fields.get("title", "")), 0
    for heading, text in _raw_sections(body):
        page = page or heading
        found = 0
        for one in _of_section(docs, path, page, heading, text):
            if found < PER_SECTION and kept < PER_PAGE:
                found, kept = found + 1, kept + 1
                yield one


def _raw_sections(body: str) -> Iterator[tuple[str, str]]:
    """Headings and what follows them; lines that begin with # within a block are no headings."""
    blocks = [(found.start(), found.end()) for found in _BLOCK.finditer(body)]
    places = [found for found in _HEADING.finditer(body)
              if not any(begin < found.start() < end for begin, end in blocks)]  # fmt: skip
    for number, found in enumerate(places):
        end = places[number + 1].start() if number + 1 < len(places) else len(body)
        yield plain_heading(found[2]), body[found.end() : end]


def _of_section(docs: Docs, path: Path, page: str, heading: str, text: str) -> Iterator[Fenced]:
    prose = re.sub(r"\n{3,}", "\n\n", plain(_BLOCK.sub("", text))).strip()
    lang = language_of(prose)
    shortest, longest = PROSE[lang]
    if len(prose) < shortest:
        return
    for number, found in enumerate(_BLOCK.finditer(text)):
        indent, form, code = found[1], found[2].lower(), found[3]
        code = "\n".join(line.removeprefix(indent) for line in code.splitlines()).strip("\n")[: CODE[1]]
        if (
            len(code) < CODE[0]
            or code.startswith(_INCLUDED)
            or form in _NOT_CODE
            or (lang == "en" and language_of(code) == "zh")
        ):
            continue
        drawn = questions.drawn(f"{docs.name}:{path.name}:{heading}:{number}:fenced").random()
        titles = [f"{page} {heading}" if page and page != heading else heading, f"{docs.product} {heading}", heading]
        yield Fenced(source=docs.name, licence=docs.licence, lang=lang, form=form, heading=heading,
                     question=_question(titles, prose, code, drawn), prose=prose[:longest], code=code)  # fmt: skip


def _question(titles: list[str], prose: str, code: str, drawn: float) -> str:
    """A title, the text's first words, or names that code and prose share; `drawn` (0 to 1) chooses."""
    if drawn < 0.15:
        return " ".join(prose.partition("\n")[0].split()[:14])[:90]
    title = titles[int(drawn * 997) % len(titles)].strip()[:120]
    shared = [name for name in dict.fromkeys(_IDENTIFIER.findall(code)) if name in prose][: 1 + int(drawn * 887) % 3]
    if drawn < 0.45 and shared:
        return " ".join(shared if drawn < 0.25 else [title, *shared])
    return title


def of_source(job: tuple[Path, Docs]) -> list[Fenced]:
    mirrors, docs = job
    found = []
    for folder in dict.fromkeys((*docs.en, *docs.zh)):
        if (mirrors / folder).is_dir():
            for path in pages(mirrors / folder, docs).values():
                found += of_page(docs, path)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("mirrors", "collections", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=4)
    options = parser.parse_args()
    collections = Collections(options.collections)
    seen: set[tuple[str, str]] = set()
    counts: Counter[str] = Counter()
    jobs = [(options.mirrors, docs) for docs in catalog.DOCS if not docs.heldout]
    with Pool(options.processes) as pool, lzma.open(options.out, "wt", encoding="utf-8") as write:
        for found in pool.imap(of_source, jobs):
            for one in found:
                if (one.prose, one.code) in seen or collections.hold(one.question, one.prose):
                    continue
                seen.add((one.prose, one.code))
                counts[f"{one.source} {one.lang}"] += 1
                counts[f"form {one.form}"] += 1
                write.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")
    print(len(seen), dict(counts.most_common(80)))


if __name__ == "__main__":
    main()
