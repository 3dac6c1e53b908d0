"""The facts in a PowerPoint file: one section a slide."""

from __future__ import annotations

from pathlib import Path

import pptx
import pytest
from lxml import etree
from pptx.util import Inches

from tests.formats.facts import AUTHOR, COLUMNS, FACTS, ROWS, TITLE, chapters, only_part_with, sections
from winnow.indexer.readers.documents.slides import parse
from winnow.indexer.readers.parser import Parsed, SourceFile
from winnow.retrieval.records import Document, Location, PartKind

_P14 = "http://schemas.microsoft.com/office/powerpoint/2010/main"


def write(path: Path) -> None:
    """Write a title slide, then one slide for each section; chapters are PowerPoint's sections."""
    deck = pptx.Presentation()
    deck.core_properties.title, deck.core_properties.author = TITLE, AUTHOR
    deck.slides.add_slide(deck.slide_layouts[0]).shapes.title.text = TITLE
    names: list[str] = []
    for chapter, entries in chapters():
        slides = []
        for section, facts in entries:
            slide = deck.slides.add_slide(deck.slide_layouts[1])
            slide.shapes.title.text = section
            slide.placeholders[1].text = "\n".join(fact.text for fact in facts)
            slides.append(f'<p14:sldId id="{slide.slide_id}"/>')
        names.append(f'<p14:section name="{chapter}"><p14:sldIdLst>{"".join(slides)}</p14:sldIdLst></p14:section>')
    listed = f'<p14:sectionLst xmlns:p14="{_P14}">{"".join(names)}</p14:sectionLst>'
    extension = etree.SubElement(deck.part._element, f"{{{deck.part._element.nsmap['p']}}}extLst")
    extension.append(etree.fromstring(listed))
    deck.save(str(path))


def write_tables(path: Path) -> None:
    """Write one slide with a table for each section."""
    deck = pptx.Presentation()
    for section, facts in sections():
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = section[1]
        frame = slide.shapes.add_table(len(facts) + 1, len(COLUMNS), Inches(1), Inches(2), Inches(8), Inches(4))
        rows = (COLUMNS, *(row for row in ROWS if row[0] in {fact.id for fact in facts}))
        for cell, text in zip(frame.table.iter_cells(), (text for row in rows for text in row), strict=True):
            cell.text = text
    deck.save(str(path))


@pytest.fixture
def parsed(tmp_path: Path) -> list[Parsed]:
    write(tmp_path / "facts.pptx")
    return list(parse(SourceFile(path=tmp_path / "facts.pptx", name="facts.pptx")))


def test_each_fact_is_on_its_slide_in_its_section(parsed: list[Parsed]):
    slides = {section: number for number, (section, _) in enumerate(sections(), start=2)}
    for fact in FACTS:
        _, part = only_part_with(fact.text, parsed)
        assert (part.section, part.location) == (fact.section, Location(slide=slides[fact.section]))


def test_a_slide_is_one_part(parsed: list[Parsed]):
    (document,) = parsed
    assert isinstance(document, Document)
    assert (document.title, document.metadata["author"]) == (TITLE, AUTHOR)
    assert [part.location.slide for part in document.parts] == [*range(1, 10)]


def test_facts_in_tables_are_rows_of_their_slide(tmp_path: Path):
    write_tables(tmp_path / "tables.pptx")
    parsed = list(parse(SourceFile(path=tmp_path / "tables.pptx", name="tables.pptx")))
    for fact, row in zip(FACTS, ROWS, strict=True):
        document, part = only_part_with(fact.text, parsed)
        assert (part.kind, part.header) == (PartKind.ROWS, " | ".join(COLUMNS))
        assert " | ".join(row) in document.text[part.start : part.end].split("\n")
        assert part.location.slide == 1 + [section for section, _ in sections()].index(fact.section)
