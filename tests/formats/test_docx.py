"""The facts in a Word file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import docx
import pytest

from tests.formats.facts import AUTHOR, COLUMNS, FACTS, MODIFIED, ROWS, TITLE, Fact, chapters, only_part_with
from winnow.indexer.readers.documents.word import parse
from winnow.indexer.readers.parser import Parsed, SourceFile
from winnow.retrieval.records import Document, PartKind

HEADINGS = {"en": ("Heading 1", "Heading 2"), "localized": ("标题 1", "Überschrift 2")}


def write(path: Path, headings: tuple[str, str] = HEADINGS["en"]) -> None:
    """Write the facts as paragraphs under headings, then once more as a table."""
    written = docx.Document()
    written.core_properties.author = AUTHOR
    written.core_properties.modified = datetime.fromisoformat(MODIFIED)
    written.core_properties.title = TITLE
    for name in headings:
        if name not in {style.name for style in written.styles}:
            written.styles.add_style(name, docx.enum.style.WD_STYLE_TYPE.PARAGRAPH)
    written.add_paragraph(TITLE, style="Title")
    for chapter, entries in chapters():
        written.add_paragraph(chapter, style=headings[0])
        for section, facts in entries:
            written.add_paragraph(section, style=headings[1])
            for fact in facts:
                written.add_paragraph(fact.text)
    written.save(str(path))


def write_table(path: Path) -> None:
    written = docx.Document()
    written.add_heading("All facts", 1)
    table = written.add_table(rows=0, cols=len(COLUMNS))
    for row in (COLUMNS, *ROWS):
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    written.save(str(path))


@pytest.fixture(params=["en", "localized"])
def parsed(request: pytest.FixtureRequest, tmp_path: Path) -> list[Parsed]:
    write(tmp_path / "facts.docx", HEADINGS[request.param])
    return list(parse(SourceFile(path=tmp_path / "facts.docx", name="facts.docx")))


def test_each_fact_is_in_its_section(parsed: list[Parsed]):
    for fact in FACTS:
        _, part = only_part_with(fact.text, parsed)
        assert (part.section, part.kind) == (fact.section, PartKind.PROSE)


def test_a_section_is_one_part_and_the_document_names_its_author(parsed: list[Parsed]):
    (document,) = parsed
    assert isinstance(document, Document)
    assert (document.id, document.title) == ("facts.docx", TITLE)
    assert document.metadata == {"author": AUTHOR, "date": "2026-03-14T09:30:00Z"}
    assert len(document.parts) == 9  # the title, then one part a section


@pytest.mark.parametrize("fact", FACTS[::13], ids=lambda fact: fact.id)
def test_a_fact_in_a_table_is_on_one_row_below_the_header(fact: Fact, tmp_path: Path):
    write_table(tmp_path / "table.docx")
    document, part = only_part_with(fact.text, parse(SourceFile(path=tmp_path / "table.docx", name="table.docx")))
    assert (part.kind, part.section, part.header) == (PartKind.ROWS, (), " | ".join(COLUMNS))
    lines = document.text[part.start : part.end].split("\n")
    assert lines[FACTS.index(fact) + 1] == " | ".join(ROWS[FACTS.index(fact)])
