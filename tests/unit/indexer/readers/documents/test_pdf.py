"""Files that are scanned, encrypted, long, damaged."""

from __future__ import annotations

import resource
from io import BytesIO
from pathlib import Path
from typing import Any

import pypdf
import pytest
from PIL import Image
from pypdf import PdfWriter as PypdfWriter
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from tests.formats.pdf_writer import PdfWriter
from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents import pdf
from winnow.indexer.readers.documents.pdf import normalize_date, parse
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.records import Document


def read(path: Path) -> list[Parsed]:
    return list(parse(SourceFile(path=path, name="a.pdf")))


def documents(path: Path) -> list[Document]:
    return [each for each in read(path) if isinstance(each, Document)]


def write(path: Path, pages: list[str | None], **options: Any) -> Path:
    """A page for each text; None is a scanned one, an empty text a blank one."""
    writer = PdfWriter(path, **options)
    image = BytesIO()
    Image.new("L", (60, 80), 200).save(image, "PNG")
    for text in pages:
        writer.start_page()
        if text is None:
            writer.canvas.drawImage(ImageReader(image), 0, 0, 500, 700)
        elif text:
            writer.paragraph(text)
    if pages and pages[-1] == "":
        writer.canvas.showPage()
    return writer.save()


def test_a_scanned_page_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    parsed = read(write(tmp_path / "a.pdf", ["first", None, "", "fourth"]))
    (refused,) = (each for each in parsed if isinstance(each, Refused))
    assert refused.id == "a.pdf#page-2"
    assert refused.reason == "no text, page 2: it is an image; name an OCR program with --ocr-command"
    (document,) = (each for each in parsed if isinstance(each, Document))
    assert [part.location.page for part in document.parts] == [1, 4]


def test_a_stamp_on_scanned_pages_is_not_their_text(tmp_path: Path) -> None:
    parsed = read(write(tmp_path / "a.pdf", ["first", *[None] * 4], header="scanned by box {page}"))
    assert [each.id for each in parsed if isinstance(each, Refused)] == [f"a.pdf#page-{n}" for n in (2, 3, 4, 5)]


def test_a_file_without_any_text(tmp_path: Path) -> None:
    with pytest.raises(Unparsable, match="no text: 3 of 3 pages are images; name an OCR program with --ocr-command"):
        read(write(tmp_path / "a.pdf", [None] * 3))
    with pytest.raises(Unparsable, match="no text: all 2 pages are blank"):
        read(write(tmp_path / "b.pdf", ["", ""]))


@pytest.mark.parametrize(
    ("font", "text"),
    [
        ("STSong-Light", "每个字单独一笔。"),
        ("MSung-Light", "每個字單獨一筆。"),
        ("HeiseiMin-W3", "一文字ずつ。"),
        ("HYSMyeongJo-Medium", "한글자씩"),
    ],
)
def test_characters_of_fonts_that_nobody_has(tmp_path: Path, font: str, text: str) -> None:
    """Each drawn by an operator of its own, in a font that the file only names."""
    pdfmetrics.registerFont(UnicodeCIDFont(font))
    canvas = Canvas(str(tmp_path / "a.pdf"))
    canvas.setFont(font, 12)
    for place, character in enumerate(text):
        canvas.drawString(72 + 12 * place, 700, character)
    canvas.save()
    (document,) = read(tmp_path / "a.pdf")
    assert isinstance(document, Document)
    assert document.text == text


def test_an_encrypted_file(tmp_path: Path) -> None:
    writer = PypdfWriter(clone_from=write(tmp_path / "a.pdf", ["text"]))
    writer.encrypt("secret")
    writer.write(tmp_path / "b.pdf")
    with pytest.raises(Unparsable, match="it is encrypted with a password; save a copy without one"):
        read(tmp_path / "b.pdf")


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\n", b"no PDF at all", b"%PDF-1.4\n" + bytes(5000)])
def test_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pdf").write_bytes(content)
    with pytest.raises(Unparsable, match="not a PDF file, or it is damaged"):
        read(tmp_path / "a.pdf")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_off_is_read_or_refused(tmp_path: Path, share: float) -> None:
    whole = write(tmp_path / "a.pdf", ["text of a page"] * 20).read_bytes()
    (tmp_path / "b.pdf").write_bytes(whole[: int(len(whole) * share)])
    try:
        found = documents(tmp_path / "b.pdf")
    except Unparsable:
        return
    assert all("text of a page" in each.text for each in found)


def test_a_long_file_becomes_several_documents_without_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "DOCUMENT_CHARACTERS_MAX", 400)
    texts = [f"Page {n} says: " + " ".join(f"word{n}x{place}" for place in range(10)) for n in range(1, 21)]
    found = documents(write(tmp_path / "a.pdf", list(texts), title="Long manual"))
    assert len(found) > 1
    assert found[0].id == f"a.pdf#pages-1-{found[0].parts[-1].location.page}"
    pages = [part.location.page for each in found for part in each.parts]
    assert pages == list(range(1, 21))
    assert " ".join(each.text for each in found).split() == " ".join(texts).split()
    assert all(len(each.text) <= 400 and each.title == "Long manual" for each in found)


def test_memory_does_not_grow_with_the_pages(tmp_path: Path) -> None:
    """Pages are read one by one."""
    path = write(tmp_path / "a.pdf", ["some text of this page"] * 2_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (document,) = documents(path)
    assert len(document.parts) == 2_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KB


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Handbook", "Handbook"),
        ("What is new (2026)?", "What is new (2026)?"),
        ("手册", "手册"),
        ("Microsoft Word - handbook_v3.doc", "Largest line"),
        ("handbook_final.docx", "Largest line"),
        ("untitled", "Largest line"),
        ("无标题文档", "Largest line"),
        ("", "Largest line"),
    ],
)
def test_title(tmp_path: Path, title: str, expected: str) -> None:
    writer = PdfWriter(tmp_path / "a.pdf", title=title)
    writer.start_page()
    writer.line("Largest line", 72, 760, 20)
    writer.y = 700
    writer.paragraph("Text in the usual size. " * 20)
    (document,) = documents(writer.save())
    assert document.title == expected


def test_an_outline_that_loops_or_leads_nowhere_ends(tmp_path: Path) -> None:
    writer = PypdfWriter(clone_from=write(tmp_path / "a.pdf", ["one", "two"]))
    first = writer.add_outline_item(title="A", page_number=0)
    writer.add_outline_item(title="B", page_number=1, parent=first)
    item: Any = first.get_object()
    item[pypdf.generic.NameObject("/Next")] = first
    writer.write(tmp_path / "b.pdf")
    (document,) = documents(tmp_path / "b.pdf")
    assert [part.location.page for part in document.parts] == [1, 2]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("D:20260314093000+02'00'", "2026-03-14T07:30:00+00:00"),
        ("D:20260314093000Z", "2026-03-14T09:30:00+00:00"),
        ("D:20260314093000", "2026-03-14T09:30:00"),
        ("D:20260314", "2026-03-14"),
        ("D:2026", "2026-01-01"),
        ("D:20261399", ""),
        ("14 March", ""),
    ],
)
def test_dates(value: str, expected: str) -> None:
    assert normalize_date(value) == expected
