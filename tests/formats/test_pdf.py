"""The forty facts in PDF files: found once, on their page, in their section."""

from __future__ import annotations

from itertools import chain, zip_longest
from pathlib import Path

import pytest
from reportlab.lib.pdfencrypt import StandardEncryption

from tests.formats.facts import AUTHOR, FACTS, TITLE, chapters, only_part_with
from tests.formats.pdf_writer import HEIGHT, MARGIN, STEP, WIDTH, PdfWriter, wrap
from winnow.indexer.readers.documents.pdf import parse
from winnow.indexer.readers.parser import Parsed, SourceFile
from winnow.retrieval.records import Document

PAGE_OF = {section: number for number, section in enumerate(dict.fromkeys(each.section for each in FACTS), start=1)}


def read(path: Path) -> list[Parsed]:
    return list(parse(SourceFile(path=path, name="docs/a.pdf")))


def write_sections(writer: PdfWriter, *, is_each_on_a_page: bool = True, width: float = WIDTH - 2 * MARGIN) -> Path:
    """One section a page, or all one after the other."""
    for chapter, sections in chapters():
        for place, (name, facts) in enumerate(sections):
            if is_each_on_a_page or writer.y < MARGIN + 30 * STEP or not writer.page:
                writer.start_page()
            if place == 0:
                writer.heading(chapter, 0, 18)
            writer.heading(name, 1)
            for fact in facts:
                writer.paragraph(fact.text, width=width)
    return writer.save()


def check(parsed: list[Parsed], pages: dict[tuple[str, str], int] | None) -> Document:
    for fact in FACTS:
        document, part = only_part_with(fact.text, parsed)
        assert part.section == fact.section
        assert part.location.page is not None
        if pages is not None:
            assert part.location.page == pages[fact.section]
    (document,) = (each for each in parsed if isinstance(each, Document))
    assert document.title == TITLE
    return document


@pytest.mark.parametrize("width", [WIDTH - 2 * MARGIN, 180.0])
def test_each_fact_is_in_one_part_with_its_section_and_page(tmp_path: Path, width: float) -> None:
    """Facts that are broken over several lines become whole again; headers, footers and page numbers go."""
    writer = PdfWriter(
        tmp_path / "a.pdf", title=TITLE, author=AUTHOR, header="Velora 300: page {page}", footer="© Velora {page}/8"
    )
    document = check(read(write_sections(writer, width=width)), PAGE_OF)
    assert document.metadata["author"] == AUTHOR
    assert "Velora 300: page" not in document.text
    assert "©" not in document.text


def test_sections_that_begin_within_a_page(tmp_path: Path) -> None:
    """An entry of the outline divides its page where its heading stands."""
    document = check(read(write_sections(PdfWriter(tmp_path / "a.pdf", title=TITLE), is_each_on_a_page=False)), None)
    assert max(part.location.page or 0 for part in document.parts) < 8


@pytest.mark.parametrize("is_row_by_row", [False, True])
def test_facts_in_two_columns(tmp_path: Path, *, is_row_by_row: bool) -> None:
    """Columns are read one after the other, even if the file draws their lines alternately."""
    writer = PdfWriter(tmp_path / "a.pdf", title=TITLE)
    places = (MARGIN, WIDTH / 2 + 12)
    for chapter, sections in chapters():
        for place, (name, facts) in enumerate(sections):
            writer.start_page()
            if place == 0:
                writer.heading(chapter, 0, 18)
            writer.heading(name, 1)
            columns = [
                [line for fact in each for line in wrap(fact.text, WIDTH / 2 - MARGIN - 12)]
                for each in (facts[:3], facts[3:])
            ]
            lines = [
                [(text, x, writer.y - row * STEP) for row, text in enumerate(column)]
                for x, column in zip(places, columns, strict=True)
            ]
            together = zip_longest(*lines) if is_row_by_row else lines
            drawn = [each for each in chain.from_iterable(together) if each is not None]
            for text, x, y in drawn:
                writer.line(text, x, y)
    check(read(writer.save()), PAGE_OF)


def test_a_file_encrypted_without_a_password_for_readers(tmp_path: Path) -> None:
    encryption = StandardEncryption("", ownerPassword="owner", canPrint=0)
    check(read(write_sections(PdfWriter(tmp_path / "a.pdf", title=TITLE, encrypt=encryption))), PAGE_OF)


def test_a_table_of_facts_is_read_by_rows(tmp_path: Path) -> None:
    """Short cells are no columns of text: number and fact stay together."""
    writer = PdfWriter(tmp_path / "a.pdf", title=TITLE)
    writer.start_page()
    for number, fact in enumerate(FACTS):
        writer.line(fact.id, MARGIN, HEIGHT - MARGIN - number * STEP)
        writer.line(fact.text, MARGIN + 60, HEIGHT - MARGIN - number * STEP)
    (document,) = read(writer.save())
    assert isinstance(document, Document)
    for fact in FACTS:
        assert f"{fact.id} {fact.text}" in document.text
