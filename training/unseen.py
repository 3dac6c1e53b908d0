"""Makes judged collections of texts that neither model was trained on, for `training.order`.

    python -m training.unseen --debian ROOT --out DIR

ROOT is the folder with the unpacked Debian packages of README.md (section 6). A document is a section of a manual
without its heading; a query is the heading of a section, or the one-line description of a page. The section is the only
relevant document, except in the mixed collections, where its translation is relevant, too. Headings are shorter and
closer to their sections than most questions of people, so the collections show which order is better, not how good an
order is.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

CHINESE: Final = re.compile(r"[\u4e00-\u9fff]")
DOCUMENTS_MAX: Final = 1_500  # per collection, drawn if there are more
QUERIES_MAX: Final = 50
TEXT_CHARACTERS: Final = {"en": (160, 1_600), "zh": (60, 520)}  # minimum and maximum; longer texts are cut
HEADING_WORDS_MIN: Final = 3
HEADING_CHINESE_MIN: Final = 5
HEADING_CHARACTERS_MAX: Final = 150
_HEADING: Final = re.compile(r"h[1-5]|dt")
_LEFT_OUT: Final = frozenset({"script", "style", "head", "nav", "title"})
_NUMBER: Final = re.compile(
    r"^\s*(?:(?:Chapter|Appendix|附录|第)\s*)?(?:[A-J]?[\s.-]*\d[\d.-]*(?:\s*[.章节])?|[A-J]\.(?:\d[\d.]*)?)\s*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A query and the text that answers it."""

    place: str  # file and number: unique in its source
    heading: str
    text: str


class SectionParser(HTMLParser):
    """Collects (heading, text below it) of one HTML page."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[tuple[list[str], list[str]]] = [([], [])]
        self._heading = ""
        self._left_out = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002  the parser's
        self._left_out += tag in _LEFT_OUT
        if _HEADING.fullmatch(tag) and tag != "dt":
            self._heading = tag
            self.sections.append(([], []))

    def handle_endtag(self, tag: str) -> None:
        self._left_out -= tag in _LEFT_OUT
        if tag == self._heading:
            self._heading = ""

    def handle_data(self, data: str) -> None:
        if not self._left_out:
            self.sections[-1][0 if self._heading else 1].append(data)


def of_html(files: Iterable[Path]) -> Iterator[Section]:
    for file in (each for each in files if each.is_file()):
        parser = SectionParser()
        parser.feed(file.read_text(encoding="utf-8", errors="replace"))
        for number, (heading, text) in enumerate(parser.sections):
            yield Section(place=_place(file, number), heading=flat(heading), text=flat(text))


def of_pod(files: Iterable[Path]) -> Iterator[Section]:
    """perlfaq: each question is a heading of level two."""
    for file in files:
        for number, part in enumerate(re.split(r"^=head2 ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]):
            heading, _, text = part.partition("\n")
            text = re.sub(r"^=\w.*$", "", text.split("\n=head1")[0], flags=re.MULTILINE)
            marks = re.compile(r"[A-Z]<+\s?(.*?)\s?>+")
            yield Section(
                place=_place(file, number),
                heading=flat([marks.sub(r"\1", heading)]),
                text=flat([marks.sub(r"\1", text)]),
            )


def of_mallard(files: Iterable[Path], *, by_description: bool = False) -> Iterator[Section]:
    """A page of GNOME's help: its title, or the description with which other pages link it."""
    for file in files:
        page = ET.parse(file).getroot()  # noqa: S314  files of a distribution's package
        name = {child.tag.rpartition("}")[2]: child for child in page}
        title, info = name.get("title"), name.get("info")
        described = None if info is None else next((each for each in info if each.tag.endswith("}desc")), None)
        heading = described if by_description else title
        if heading is not None:
            texts = ("".join(each.itertext()) for each in page if not each.tag.endswith(("}info", "}title")))
            yield Section(place=_place(file, 0), heading=flat(heading.itertext()), text=flat(texts))


def _place(file: Path, number: int) -> str:
    """Equal for all languages: `ch01.en.html` and `ch01.zh-cn.html` are translations."""
    return f"{file.name.partition('.')[0].replace(' ', '_')}#{number}"


def flat(parts: Iterable[str]) -> str:
    joined = re.sub(r"\s+", " ", " ".join(parts).replace("¶", " ").replace("\u200b", "")).strip()
    return _NUMBER.sub("", joined)


def fit(sections: Iterable[Section], *, chinese: bool = False) -> list[Section]:
    """Keep sections in the right language with a meaningful heading and enough text, once each."""
    found: dict[str, Section] = {}
    taken: set[str] = set()  # beginnings of texts, and places
    for section in sections:
        language = "zh" if chinese else "en"
        least, most = TEXT_CHARACTERS[language]
        says = (
            len(CHINESE.findall(section.heading)) >= HEADING_CHINESE_MIN
            if language == "zh"
            else len(section.heading.split()) >= HEADING_WORDS_MIN
        )
        text = section.text[:most]
        says = says and len(section.heading) <= HEADING_CHARACTERS_MAX
        if says and len(text) >= least and section.heading not in found and not {text[:80], section.place} & taken:
            found[section.heading] = Section(place=section.place, heading=section.heading, text=text)
            taken |= {text[:80], section.place}
    return list(found.values())


def write(folder: Path, documents: dict[str, str], queries: dict[str, tuple[str, list[str]]]) -> None:
    """Write a BEIR folder: documents by id, queries by id with the ids of relevant documents."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    _write_lines(folder / "corpus.jsonl", ({"_id": one, "title": "", "text": text} for one, text in documents.items()))
    _write_lines(folder / "queries.jsonl", ({"_id": one, "text": text} for one, (text, _) in queries.items()))
    judged = [f"{one}\t{each}\t1" for one, (_, relevant) in queries.items() for each in relevant]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(judged) + "\n", "utf-8")
    print(f"{folder.name}: {len(documents)} documents, {len(queries)} queries")


def _write_lines(file: Path, rows: Iterable[dict[str, str]]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def collection(out: Path, name: str, sections: Iterable[Section], draw: random.Random) -> None:
    kept = fit(sections, chinese=name.endswith("-zh"))
    kept = sorted(draw.sample(kept, min(len(kept), DOCUMENTS_MAX)), key=lambda each: each.place)
    asked = draw.sample(kept, min(len(kept), QUERIES_MAX))
    write(
        out / name,
        {each.place: each.text for each in kept},
        {f"q{number}": (each.heading, [each.place]) for number, each in enumerate(asked)},
    )


def across(out: Path, name: str, english: Iterable[Section], chinese: Iterable[Section], draw: random.Random) -> None:
    """Pages that exist in both languages, in one collection; queries in both."""
    first, second = ({each.place: each for each in fit(side, chinese=side is chinese)} for side in (english, chinese))
    both = sorted(first.keys() & second.keys())
    both = [one for one in both if len(CHINESE.findall(second[one].text)) * 5 > len(second[one].text)]  # translated
    asked = draw.sample(both, min(len(both), QUERIES_MAX))
    sides = [first, second]
    write(
        out / f"{name}-mixed",
        {f"en-{one}": first[one].text for one in both} | {f"zh-{one}": second[one].text for one in both},
        {
            f"q{number}": (sides[number % 2][one].heading, [f"en-{one}", f"zh-{one}"])
            for number, one in enumerate(asked)
        },
    )


def sources(share: Path) -> dict[str, Iterator[Section]]:
    doc = share / "doc"
    english, chinese = (share / "help" / language / "gnome-help" for language in ("C", "zh_CN"))
    pages = {
        "debian-faq": (doc / "debian/FAQ").glob("*.en.html"),
        "anarchism": (doc / "anarchism/html").glob("sec*.html"),
        "installing": (doc / "installation-guide-amd64/en").glob("*.html"),
        "installing-zh": (doc / "installation-guide-amd64/zh_CN").glob("*.html"),
        "git": (doc / "git-doc").rglob("*.html"),
        "apache": (doc / "apache2-doc/manual/en").rglob("*.html"),
        "debmake": (doc / "debmake-doc/html").glob("*.en.html"),
        "debmake-zh": (doc / "debmake-doc/html").glob("*.zh-cn.html"),
        "gimp": (share / "gimp/2.0/help/en").glob("*.html"),
        "gimp-zh": (share / "gimp/2.0/help/zh_CN").glob("*.html"),
        "securing-debian": (doc / "harden-doc/html/en-US").rglob("*.html"),
        "sqlite": (doc / "sqlite3").glob("*.html"),
        "kicad": (doc / "kicad/help/en").glob("*.html"),
        "kicad-zh": (doc / "kicad/help/zh").glob("*.html"),
        "lilypond": (doc / "lilypond/html/Documentation").rglob("*.html"),
        "octave": (doc / "octave/octave.html").glob("*.html"),
        "cmake": (doc / "cmake-data/html").rglob("*.html"),
    }
    return {
        "perlfaq": of_pod(sorted((share / "perl").glob("*/pod/perlfaq?.pod"))),
        "gnome": of_mallard(sorted(english.glob("*.page")), by_description=True),
        "gnome-zh": of_mallard(sorted(chinese.glob("*.page"))),
    } | {name: of_html(sorted(files)) for name, files in pages.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--debian", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    share = options.debian / "usr/share"
    for name, sections in sources(share).items():
        collection(options.out, name, sections, random.Random(f"{options.seed} {name}"))
    pairs = {name: (sources(share)[name], sources(share)[f"{name}-zh"]) for name in ("installing", "debmake", "kicad")}
    pairs["gnome"] = tuple(
        of_mallard(sorted((share / "help" / language / "gnome-help").glob("*.page"))) for language in ("C", "zh_CN")
    )
    for name, (english, chinese) in pairs.items():
        across(options.out, name, english, chinese, random.Random(f"{options.seed} {name}"))


if __name__ == "__main__":
    main()
