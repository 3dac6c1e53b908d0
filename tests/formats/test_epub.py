"""The facts in a book: one file a chapter, one anchor a section."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pytest

from tests.formats.facts import AUTHOR, COLUMNS, FACTS, ROWS, TITLE, chapters, only_part_with
from tests.formats.packages import write_package
from winnow.indexer.readers.documents.epub import parse
from winnow.indexer.readers.parser import Parsed, SourceFile
from winnow.retrieval.records import Document, PartKind

XHTML = '<?xml version="1.0"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{}</body></html>'
CONTAINER = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'


def package_document(files: list[str], *, version: int) -> str:
    items = "".join(
        f'<item id="f{i}" href="{name}" media-type="application/xhtml+xml"/>' for i, name in enumerate(files)
    )
    spine = "".join(f'<itemref idref="f{i}"/>' for i, _ in enumerate(files))
    contents = (
        '<item id="toc" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'
        if version == 3
        else '<item id="toc" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'
    )
    return (
        f'<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        f"<dc:title>{TITLE}</dc:title><dc:creator>{AUTHOR}</dc:creator><dc:language>en</dc:language>"
        f"<dc:date>2026-03</dc:date></metadata><manifest>{items}{contents}</manifest>"
        f'<spine toc="toc">{spine}</spine></package>'
    )


def write(path: Path, *, version: int, levels: int) -> None:
    """Write one file for each chapter; the table of contents has one level or two."""
    members: dict[str, str | bytes] = {"mimetype": "application/epub+zip", "META-INF/container.xml": CONTAINER}
    entries, points = "", ""
    for number, (chapter, parts) in enumerate(chapters(), start=1):
        body, inner, inner_points = f"<h1>{chapter}</h1>", "", ""
        for place, (section, facts) in enumerate(parts, start=1):
            texts = "".join(f"<p>{escape(fact.text)}</p>" for fact in facts)
            body += f'<section id="s{place}"><h2>{section}</h2>{texts}</section>'
            target = f"text/c{number}.xhtml#s{place}"
            inner += f'<li><a href="{target}">{section}</a></li>'
            inner_points += f'<navPoint><navLabel><text>{section}</text></navLabel><content src="{target}"/></navPoint>'
        members[f"OEBPS/text/c{number}.xhtml"] = XHTML.format(body)
        if levels == 1:
            inner = inner_points = ""
        entries += f'<li><a href="text/c{number}.xhtml">{chapter}</a>{f"<ol>{inner}</ol>" if inner else ""}</li>'
        points += (
            f'<navPoint><navLabel><text>{chapter}</text></navLabel><content src="text/c{number}.xhtml"/>{inner_points}'
            "</navPoint>"
        )
    files = [f"text/c{number}.xhtml" for number in range(1, 5)]
    members["OEBPS/book.opf"] = package_document(files, version=version)
    members["OEBPS/nav.xhtml"] = XHTML.format(f'<nav epub:type="toc"><ol>{entries}</ol></nav>')
    members["OEBPS/toc.ncx"] = (
        f'<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "x"><ncx><navMap>{points}</navMap></ncx>'
    )
    write_package(path, members)


def parse_file(path: Path) -> list[Parsed]:
    return list(parse(SourceFile(path=path, name="book.epub")))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("levels", [1, 2])
def test_each_fact_is_in_its_section_at_its_anchor(tmp_path: Path, version: int, levels: int):
    write(tmp_path / "book.epub", version=version, levels=levels)
    parsed = parse_file(tmp_path / "book.epub")
    for fact in FACTS:
        _, part = only_part_with(fact.text, parsed)
        number, sections = next((n, s) for n, (c, s) in enumerate(chapters(), start=1) if c == fact.section[0])
        place = [section for section, _ in sections].index(fact.section[1]) + 1
        assert (part.section, part.location.anchor) == (fact.section, f"OEBPS/text/c{number}.xhtml#s{place}")
    (document,) = parsed
    assert isinstance(document, Document)
    assert len(document.parts) == 8
    assert (document.title, document.metadata) == (TITLE, {"author": AUTHOR, "date": "2026-03", "language": "en"})


def test_facts_in_a_table_are_rows(tmp_path: Path):
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in ROWS)
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    members: dict[str, str | bytes] = {
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": package_document(["a.xhtml"], version=3),
        "OEBPS/a.xhtml": XHTML.format(f"<h1>All</h1><table><tr>{head}</tr>{rows}</table>"),
    }
    write_package(tmp_path / "book.epub", members)
    parsed = parse_file(tmp_path / "book.epub")
    for fact, row in zip(FACTS, ROWS, strict=True):
        document, part = only_part_with(fact.text, parsed)
        assert (part.kind, part.section, part.header) == (PartKind.ROWS, ("All",), " | ".join(COLUMNS))
        assert " | ".join(row) in document.text.split("\n")
