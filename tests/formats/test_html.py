"""The forty facts in HTML pages: found once, in their section, with the anchor of their heading."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pytest

from tests.formats.facts import AUTHOR, FACTS, MODIFIED, TITLE, Fact, chapters, only_part_with, parts_with
from winnow.indexer.readers.documents.web_page import parse
from winnow.indexer.readers.parser import SourceFile
from winnow.retrieval.records import Document, PartKind

AROUND = """
<header class="site-header"><a href="/">Velora</a><form role="search"><input name="q"></form></header>
<nav aria-label="Main"><ul><li><a href="/a">Products</a></li><li><a href="/b">Dealers</a></li></ul></nav>
<div id="cookie-consent"><p>We use cookies to make this page better. <button>Accept</button></p></div>
"""
FOOTER = "<footer><p>All rights reserved. Imprint. Privacy.</p></footer><script>track('page')</script>"


def page(body: str, *, around: str = AROUND) -> str:
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="{{charset}}"><title>{TITLE} | Velora</title>'
        f'<meta name="author" content="{AUTHOR}"><meta property="article:modified_time" content="{MODIFIED}">'
        f'<link rel="canonical" href="https://velora.example/handbook"></head><body>{around}'
        f'<div class="page"><h1>{TITLE}</h1>{body}</div>{FOOTER}</body></html>'
    )


def anchor_of(fact: Fact) -> str:
    return f"s{[each.section for each in FACTS].index(fact.section)}"


def written(markup: str) -> str:
    """The facts under their headings, each in this markup."""
    pieces = []
    for chapter, sections in chapters():
        pieces.append(f"<h2>{escape(chapter)}</h2>")
        for name, facts in sections:
            rows = "".join(markup.format(text=escape(fact.text)) for fact in facts)
            pieces.append(f'<section id="{anchor_of(facts[0])}"><h3>{escape(name)}</h3>{rows}</section>')
    return "".join(pieces)


def read(folder: Path, text: str, *, encoding: str = "utf-8") -> Document:
    path = folder / "page.html"
    path.write_bytes(text.replace("{charset}", encoding).encode(encoding))
    (document,) = parse(SourceFile(path=path, name="docs/page.html"))
    assert isinstance(document, Document)
    return document


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
@pytest.mark.parametrize(
    "markup",
    [
        "<p>{text}</p>",
        "<ul><li>{text}</li></ul>",
        "<div><span>{text}</span></div>",
        "<dl><dt>?</dt><dd>{text}</dd></dl>",
        "{text}<br>",
        "<blockquote>{text}</blockquote>",
        "<details><summary>more</summary>{text}</details>",
    ],
)
def test_each_fact_is_in_one_part_with_its_section_and_anchor(tmp_path: Path, markup: str, encoding: str) -> None:
    """Whatever element holds a fact, its part names the headings above it and the anchor to link to."""
    document = read(tmp_path, page(written(markup)), encoding=encoding)
    for fact in FACTS:
        _, part = only_part_with(fact.text, [document])
        assert part.section == fact.section
        assert part.location.anchor == anchor_of(fact)
    assert document.id == "docs/page.html"
    assert document.title == TITLE
    assert document.url == "https://velora.example/handbook"
    assert document.metadata == {"language": "en", "author": AUTHOR, "date": MODIFIED}
    for boilerplate in ("cookies", "Imprint", "Dealers", "track("):
        assert boilerplate not in document.text


def test_facts_of_a_table_are_rows_with_a_header(tmp_path: Path) -> None:
    """A table's part knows the names of its columns, and each row stays on one line."""
    rows = "".join(f"<tr><td>{each.id}</td><td>{escape(each.text)}</td></tr>" for each in FACTS)
    document = read(tmp_path, page(f"<h2 id=all>Facts</h2><table><tr><th>Number</th><th>Fact</th></tr>{rows}</table>"))
    for fact in FACTS:
        _, part = only_part_with(fact.text, [document])
        assert (part.kind, part.header, part.section) == (PartKind.ROWS, "Number | Fact", ("Facts",))
        assert f"\n{fact.id} | {fact.text}" in document.text


def test_facts_in_code_keep_their_lines(tmp_path: Path) -> None:
    lines = "\n".join(f"  {fact.text}" for fact in FACTS)
    document = read(tmp_path, page(f"<h2>Listing</h2><pre>\n{escape(lines)}\n</pre>"))
    ((_, part),) = parts_with(FACTS[0].text, [document])
    assert part.kind is PartKind.CODE
    assert lines in document.text


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_short_pages_and_lists_of_questions_lose_nothing(tmp_path: Path, count: int) -> None:
    """A page of short answers looks like boilerplate to a heuristic; all of it must be found."""
    body = "".join(
        f'<div class="item"><h3>{escape(fact.question)}</h3><div>{escape(fact.text)}</div></div>'
        for fact in FACTS[-count:]
    )
    document = read(tmp_path, page(body))
    for fact in FACTS[-count:]:
        _, part = only_part_with(fact.text, [document])
        assert part.section == (fact.question,)
