"""Documentation in one or two languages: sections as passages, headings as questions, translations as twins."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.sources import questions
from training.sources.markdown import Section, sections
from training.sources.sample import Sample, language_of, pieces, worth_keeping

_SUFFIXES = {".md", ".mdx", ".rst", ".markdown"}
_SENTENCE = re.compile(r"[^.!?。！？\n]{25,220}[.!?。！？](?=\s|$|[\u4e00-\u9fff])")
LONG_IN = 4  # one section in so many also gets a long question


@dataclass(frozen=True, slots=True, kw_only=True)
class Docs:
    name: str
    licence: str
    product: str
    en: tuple[str, ...] = ()  # folders below the mirrors
    zh: tuple[str, ...] = ()  # the translation of each folder of `en`; or folders in Chinese only
    renamed: tuple[str, str] = ("", "")  # endings of an English file's name and of its translation's
    without: str = ""  # pages whose path matches are left out
    kind: str = "docs"
    heldout: bool = False
    skipped: str = r"(^|/)(_index|readme|toc|contributing|code_of_conduct|changelog|license|summary|credits)\."
    keep_in: tuple[int, int] = (1, 1)  # how many pages of how many


def pages(folder: Path, docs: Docs) -> dict[str, Path]:
    without = re.compile(f"{docs.skipped}|{docs.without}" if docs.without else docs.skipped, re.IGNORECASE)
    kept, of = docs.keep_in
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.suffix not in _SUFFIXES or without.search(relative):
            continue
        if zlib.crc32(relative.encode()) % of < kept:
            found[relative] = path
    return found


def samples(mirrors: Path, docs: Docs) -> Iterator[Sample]:
    old, new = docs.renamed
    for number, folder in enumerate(docs.en):
        english = {name: path for name, path in pages(mirrors / folder, docs).items() if name.endswith(old)}
        chinese: dict[str, Path] = {}
        if docs.zh:
            chinese = pages(mirrors / docs.zh[number], docs)
        for name, path in english.items():
            other = chinese.pop(name.removesuffix(old) + new if old else name, None)
            yield from _page_samples(
                docs, f"{docs.name}:{number}:{name}", sections(path), sections(other) if other else []
            )
        if not old:
            for name, path in chinese.items():
                yield from _page_samples(docs, f"{docs.name}:zh{number}:{name}", sections(path), [])
    if not docs.en:
        for folder in docs.zh:
            for name, path in pages(mirrors / folder, docs).items():
                yield from _page_samples(docs, f"{docs.name}:{name}", sections(path), [])


def _page_samples(docs: Docs, key: str, ours: list[Section], theirs: list[Section]) -> Iterator[Sample]:
    if not theirs:
        for number, section in enumerate(ours):
            yield from _section_samples(docs, f"{key}:{number}", section)
        return
    if [section.level for section in ours] == [section.level for section in theirs]:
        for number, (first, second) in enumerate(zip(ours, theirs, strict=True)):
            yield from _twin_samples(docs, f"{key}:{number}", first, second)
        return
    for number, section in enumerate(ours):
        yield from _section_samples(docs, f"{key}:{number}", section)
    for number, section in enumerate(theirs):
        yield from _section_samples(docs, f"{key}:zh:{number}", section)


def _twin_samples(docs: Docs, key: str, first: Section, second: Section) -> Iterator[Sample]:
    """Whole sections if both are short; else as many pieces of either as the paragraphs allow."""
    if language_of(first.text) == language_of(second.text):  # not translated
        yield from _section_samples(docs, key, first)
        return
    for number, (ours, theirs) in enumerate(_aligned(first.text, second.text)):
        twin = f"{key}:{number}"
        yield from _asked(docs, twin, first, ours, number=number, twin=twin)
        yield from _asked(docs, f"{twin}:zh", second, theirs, number=number, twin=twin)


def _aligned(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    if len(ours) <= 1_400 and len(theirs) <= 700:
        yield ours, theirs
        return
    first, second = ours.split("\n\n"), theirs.split("\n\n")
    if len(first) != len(second):
        yield from zip(pieces(ours, "en")[:1], pieces(theirs, "zh")[:1], strict=False)
        return
    start = 0
    while start < len(first):
        end = start + 1
        while end < len(first) and sum(map(len, first[start : end + 1])) < 1_300:
            end += 1
        yield "\n\n".join(first[start:end])[:2_000], "\n\n".join(second[start:end])[:900]
        start = end


def _section_samples(docs: Docs, key: str, section: Section) -> Iterator[Sample]:
    for number, piece in enumerate(pieces(section.text, language_of(section.text))[:3]):
        yield from _asked(docs, f"{key}:{number}", section, piece, number=number, twin=None)


def _asked(docs: Docs, key: str, section: Section, piece: str, *, number: int, twin: str | None) -> Iterator[Sample]:
    """Pair the piece with a short question if it is the section's first, and sometimes with a long one."""
    lang = language_of(piece)
    if not worth_keeping(piece, lang):
        return

    def sample(question: str | None, passage: str) -> Sample:
        titles = [section.page, *section.above[1:][:1], section.heading]
        title = " - ".join(dict.fromkeys(part for part in titles if part))
        return Sample(
            source=docs.name, licence=docs.licence, kind=docs.kind, lang=lang, question=question,
            title=title[:160], passage=passage, twin=twin, date=section.date,
        )  # fmt: skip

    asked: set[str] = set()
    for draw in range(2 if number == 0 else 0):
        question = questions.from_heading(section.heading or section.page, section.page, docs.product, f"{key}:{draw}")
        if question and lang == "zh" and language_of(question) == "en" and " " in question:
            question = section.heading  # an English form around a name does not fit a Chinese page
        if question and question.lower() not in asked:
            asked.add(question.lower())
            yield sample(question, piece)
    if not asked:
        yield sample(None, piece)
    rng = questions.drawn(key + "long")
    sentences = [found for found in _SENTENCE.findall(piece) if found.count("`") % 2 == 0]
    if len(sentences) >= 4 and rng.randrange(LONG_IN) == 0 and (section.heading or section.page):
        said = rng.choice(sentences)
        rest = piece.replace(said, "", 1)
        if worth_keeping(rest, lang):
            wanted = questions.long_form(section.heading, section.page, docs.product, said.strip(), key)
            yield sample(wanted, rest)
