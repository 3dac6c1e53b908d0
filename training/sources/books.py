"""OpenStax textbooks (CNXML): sections with headings, terms with the paragraph that defines them, solved questions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from training.sources import questions
from training.sources.sample import Sample, pieces, worth_keeping

_CNX = "{http://cnx.rice.edu/cnxml}"
_METADATA = "{http://cnx.rice.edu/mdml}"
_LEFT_OUT = {f"{_CNX}{name}" for name in ("figure", "media", "footnote", "exercise", "table", "metadata", "glossary")}
_OBJECTIVE = re.compile(
    r"^(Explain|Describe|Discuss|Identify|Define|Compare|Distinguish|List|Summarize|Outline|State)\b(.*)"
)
_ASKED = {
    "Explain": "explain", "Describe": "describe", "Discuss": "tell me about", "Identify": "what are",
    "Define": "what is",
    "Compare": "compare", "Distinguish": "what is the difference", "List": "what are", "Summarize": "summary of",
    "Outline": "outline", "State": "what is",
}  # fmt: skip
_NO_TEXT = re.compile(
    r"references|bibliography|further (reading|study)|(interactive |self-check |critical thinking |short |free |"
    r"multiple |fill |chapter |personal |review |reflection )+"
    r"(link|question|answer|response|choice|application|exercise)|"
    r"key (terms|equations)|answer key|index|(chapter|section)? ?(review|summary)$|suggested|"
    r"additional|problems|exercises|learning objectives|preface|"
    r"learning outcomes|primary sources|sources|connection for ap|collaborative group|claim [ab]$|further research|"
    r"questions|glossary|works cited|endnotes|about the|case questions|media|footnotes",
    re.IGNORECASE,
)
_GENERIC = re.compile(  # meaningless without its page
    r"(key concepts and summary|introduction|in the spotlight|thinking ahead|the|why it matters|issue on the table"
    r"|summary of learning outcomes|overview|background|conclusion|case in point)$",
    re.IGNORECASE,
)
_TERM_FORMS = [
    "What is {t}?", "define {t}", "{t} definition", "what does {t} mean", "{t}", "meaning of {t} in {b}",
    "explain the term {t}",
    "what is meant by {t}", "Could you explain {t} to a beginner?", "{t} {b}",
]  # fmt: skip
_HEADING_FORMS = [
    "{h}", "{h} {b}", "what should I know about {h}", "tell me about {h}", "{h} explained", "explain {h}",
    "{h} overview",
    "What do textbooks say about {h}?", "{h} ({p})", "facts about {h}", "{p}: {h}", "why does {h} matter",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    name: str
    folder: str
    subject: str
    kind: str = "book"
    heldout: bool = False


def _words(element: ET.Element) -> str:
    return " ".join("".join(_texts(element)).split())


def _texts(element: ET.Element) -> Iterator[str]:
    if "MathML" in element.tag:  # formulae lose their shape as text
        yield "".join(element.itertext())
    elif element.tag not in _LEFT_OUT:
        yield element.text or ""
        for child in element:
            yield from _texts(child)
            yield child.tail or ""


def _paragraphs(section: ET.Element) -> Iterator[ET.Element]:
    """Paragraphs of this section, not of nested sections."""
    for child in section:
        if child.tag in (f"{_CNX}para", f"{_CNX}list"):
            yield child
        elif child.tag in (f"{_CNX}note", f"{_CNX}example"):
            yield from _paragraphs(child)


def samples(mirrors: Path, book: Book) -> Iterator[Sample]:
    for path in sorted((mirrors / book.folder / "modules").glob("*/index.cnxml")):
        try:
            root = ET.parse(path).getroot()  # noqa: S314 (a checkout of textbooks)
        except ET.ParseError:
            continue  # a module that is not XML is left out
        yield from _module_samples(book, root)


def _module_samples(book: Book, root: ET.Element) -> Iterator[Sample]:
    page = root.findtext(f"{_CNX}title", "").strip()
    content = root.find(f"{_CNX}content")
    if content is None:
        return
    found: list[Sample] = []
    if _NO_TEXT.match(page):
        return
    for section in [content, *content.iter(f"{_CNX}section")]:
        heading = (section.findtext(f"{_CNX}title") or "").strip().capitalize()
        if not _NO_TEXT.match(heading):
            found.extend(_section_samples(book, page, heading, section))
    yield from found
    for objective in root.iter(f"{_METADATA}abstract"):
        for item in objective.iter(f"{_CNX}item"):
            yield from _objective_sample(book, _words(item), found)
    for exercise in content.iter(f"{_CNX}exercise"):
        problem, solution = exercise.find(f"{_CNX}problem"), exercise.find(f"{_CNX}solution")
        if problem is None or solution is None or problem.find(f".//{_CNX}list") is not None:
            continue
        asked, answer = _words(problem), _words(solution)
        if len(answer) > 120 and 15 < len(asked) < 500 and worth_keeping(answer, "en"):
            yield _sample(book, asked, answer[:2_000], page)


def _sample(book: Book, question: str | None, passage: str, title: str) -> Sample:
    return Sample(
        source=book.name, licence="CC BY 4.0", kind=book.kind, lang="en", question=question, passage=passage,
        title=title,
    )  # fmt: skip


def _section_samples(book: Book, page: str, heading: str, section: ET.Element) -> Iterator[Sample]:
    title = " - ".join(dict.fromkeys(part for part in (page, heading) if part))
    whole = [(element, _words(element)) for element in _paragraphs(section)]
    for number, piece in enumerate(pieces("\n\n".join(text for _, text in whole if text), "en")):
        if not worth_keeping(piece, "en"):
            continue
        topic = page if _GENERIC.match(heading) else heading or page
        if number == 0 and topic.lower().startswith(
            ("how ", "why ", "what ", "when ", "who ", "is ", "are ", "can ", "do ")
        ):
            yield _sample(book, topic, piece, title)
        elif number == 0 and questions.asks_something(topic):
            rng = questions.drawn(title)
            for form in rng.sample(_HEADING_FORMS, 2):
                yield _sample(book, form.format(h=topic.lower(), p=page, b=book.subject), piece, title)
        else:
            yield _sample(book, None, piece, title)
    for element, text in whole:
        terms = [_words(term) for term in element.iter(f"{_CNX}term")]
        for term in [term for term in terms if 3 < len(term) < 50][:2]:
            if 150 < len(text) <= 2_000:
                form = questions.drawn(term + book.name).choice(_TERM_FORMS)
                yield _sample(book, form.format(t=term, b=book.subject), text, page)


def _objective_sample(book: Book, objective: str, found: list[Sample]) -> Iterator[Sample]:
    """A learning objective is the query for the passage of its module with most of its words, if one has nearly all."""
    match = _OBJECTIVE.match(objective.rstrip("."))
    words = set(re.findall(r"[a-z]{4,}", objective.lower()))
    if not match or len(words) < 3:
        return
    passages = {sample.passage: sample for sample in found}
    scored = [(len(words & set(re.findall(r"[a-z]{4,}", text.lower()))) / len(words), text) for text in passages]
    share, best = max(scored, default=(0.0, ""))
    if share >= 0.7:
        yield _sample(book, f"{_ASKED[match[1]]}{match[2]}".strip(), best, passages[best].title)


def _book(name: str, subject: str, kind: str = "book", *, heldout: bool = False) -> Book:
    prefix = "dev-" if heldout else ""
    return Book(
        name=f"{prefix}openstax-{name}", folder=f"openstax+osbooks-{name}", subject=subject, kind=kind, heldout=heldout
    )


BOOKS = [
    _book("american-government", "American government"), _book("anatomy-physiology", "anatomy", "clinical"),
    _book("astronomy", "astronomy"), _book("chemistry-bundle", "chemistry"), _book("microbiology", "microbiology",
         "clinical"),
    _book("introduction-philosophy", "philosophy"), _book("introduction-political-science", "political science"),
    _book("introduction-sociology", "sociology"), _book("psychology", "psychology"), _book("us-history", "US history"),
    _book("world-history", "world history"), _book("introduction-business", "business"),
    _book("principles-economics-bundle", "economics"), _book("life-liberty-and-pursuit-happiness", "US history"),
    _book("principles-marketing", "marketing"), _book("principles-finance", "finance"),
    _book("college-physics-bundle", "physics"), _book("business-law", "business law", "law"),
    _book("introduction-anthropology", "anthropology", heldout=True),
]  # fmt: skip
