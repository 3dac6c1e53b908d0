"""What of a Word file is text, and under which section."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.packages import word_members, write_package
from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents.word import parse
from winnow.indexer.readers.parser import SourceFile, Unparsable
from winnow.retrieval.records import Document, PartKind


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(text: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{text if text.startswith('<') else run(text)}</w:p>"


def read(path: Path, body: str, *, styles: str = "", footnotes: str = "") -> Document:
    write_package(path / "a.docx", word_members(body, styles=styles, footnotes=footnotes))
    (document,) = parse(SourceFile(path=path / "a.docx", name="a.docx"))
    assert isinstance(document, Document)
    return document


@pytest.mark.parametrize(
    ("inline", "text"),
    [
        (
            f'<w:ins w:id="1">{run("kept")}</w:ins><w:del w:id="2"><w:r><w:delText>lost</w:delText></w:r></w:del>',
            "kept",
        ),
        (f'<w:moveFrom w:id="1">{run("lost")}</w:moveFrom><w:moveTo w:id="2">{run("kept")}</w:moveTo>', "kept"),
        ("<w:r><w:rPr><w:vanish/></w:rPr><w:t>lost</w:t></w:r>" + run("kept"), "kept"),
        ('<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>kept</w:t></w:r>', "kept"),
        ('<w:r><w:rPr><w:rStyle w:val="secret"/></w:rPr><w:t>lost</w:t></w:r>' + run("kept"), "kept"),
        (f'<w:hyperlink w:anchor="x">{run("kept")}</w:hyperlink>', "kept"),
        (f'<w:fldSimple w:instr="PAGE">{run("kept")}</w:fldSimple>', "kept"),
        ("<w:r><w:instrText>lost</w:instrText></w:r>" + run("kept"), "kept"),
        ("<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r>", "a\tb\nc"),
        ('<w:r><w:t>a</w:t><w:br w:type="page"/><w:t>b</w:t></w:r>', "ab"),
        ("<m:oMath><m:r><m:t>E=mc</m:t></m:r><m:sSup><m:r><m:t>2</m:t></m:r></m:sSup></m:oMath>", "E=mc2"),
        (f"<w:r><w:ruby><w:rt>{run('lost')}</w:rt><w:rubyBase>{run('漢')}</w:rubyBase></w:ruby></w:r>", "漢"),
        (f"<w:sdt><w:sdtPr/><w:sdtContent>{run('kept')}</w:sdtContent></w:sdt>", "kept"),
    ],
)
def test_only_the_visible_text_of_a_paragraph_is_read(tmp_path: Path, inline: str, text: str):
    styles = '<w:style w:styleId="secret"><w:rPr><w:vanish/></w:rPr></w:style>'
    assert read(tmp_path, paragraph(inline), styles=styles).text == text


def test_a_text_box_is_read_once_after_its_paragraph(tmp_path: Path):
    box = f"<w:txbxContent>{paragraph('in the box')}</w:txbxContent>"
    both = (
        f"<w:r><mc:AlternateContent><mc:Choice><w:drawing>{box}</w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )
    assert read(tmp_path, paragraph(both + run("anchor")) + paragraph("next")).text == "anchor\n\nin the box\n\nnext"


@pytest.mark.parametrize(
    ("style", "properties"),
    [
        ('<w:style w:styleId="1"><w:name w:val="heading 2"/></w:style>', '<w:pStyle w:val="1"/>'),
        ('<w:style w:styleId="x"><w:name w:val="标题 2"/></w:style>', '<w:pStyle w:val="x"/>'),
        ('<w:style w:styleId="x"><w:name w:val="Überschrift 2"/></w:style>', '<w:pStyle w:val="x"/>'),
        (
            '<w:style w:styleId="x"><w:name w:val="mine"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style>'
            '<w:style w:styleId="y"><w:name w:val="own"/><w:basedOn w:val="x"/></w:style>',
            '<w:pStyle w:val="y"/>',
        ),
        ("", '<w:outlineLvl w:val="1"/>'),
    ],
)
def test_a_heading_is_known_by_its_style_in_any_language_or_its_level(tmp_path: Path, style: str, properties: str):
    body = (
        paragraph("Title", '<w:outlineLvl w:val="0"/>')
        + paragraph("Section", properties)
        + paragraph("text")
        + paragraph("Next", properties)
        + paragraph("more")
    )
    document = read(tmp_path, body, styles=style)
    assert document.title == "Title"
    assert [part.section for part in document.parts] == [("Section",), ("Next",)]
    assert document.text == "Title\n\nSection\n\ntext\n\nNext\n\nmore"


def test_styles_that_build_on_each_other_in_a_circle_end(tmp_path: Path):
    styles = (
        '<w:style w:styleId="a"><w:basedOn w:val="b"/></w:style><w:style w:styleId="b"><w:basedOn w:val="a"/></w:style>'
    )
    assert read(tmp_path, paragraph("text", '<w:pStyle w:val="a"/>'), styles=styles).text == "text"


def test_a_table_is_rows_with_merged_cells_once_and_nested_tables_flat(tmp_path: Path):
    def cell(text: str, properties: str = "") -> str:
        return f"<w:tc><w:tcPr>{properties}</w:tcPr>{text if text.startswith('<') else paragraph(text)}</w:tc>"

    nested = f"<w:tbl><w:tr>{cell('x')}{cell('y')}</w:tr></w:tbl>"
    rows = (
        cell("Part") + cell("Size and colour", '<w:gridSpan w:val="2"/>'),
        cell("lid", '<w:vMerge w:val="restart"/>') + cell("2") + cell("red"),
        cell("", "<w:vMerge/>") + cell(nested + paragraph("")) + cell("a</w:t><w:br/><w:t>b"),
    )
    table = "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"
    deleted = f"<w:tbl><w:tr><w:trPr><w:del/></w:trPr>{cell('lost')}{cell('lost')}</w:tr></w:tbl>"
    document = read(tmp_path, paragraph("above") + table + deleted + paragraph("below"))
    assert [part.kind for part in document.parts] == [PartKind.PROSE, PartKind.ROWS, PartKind.PROSE]
    assert document.text.split("\n\n")[1] == "Part | Size and colour\nlid | 2 | red\nlid | x y | a b"
    assert document.parts[1].header == "Part | Size and colour"


def test_notes_stand_at_the_end_of_their_section(tmp_path: Path):
    footnotes = (
        f'<w:footnote w:type="separator" w:id="0">{paragraph("lost")}</w:footnote>'
        f'<w:footnote w:id="2">{paragraph("the note")}</w:footnote>'
    )
    heading = '<w:outlineLvl w:val="0"/>'
    marked = paragraph(run("text") + '<w:r><w:footnoteReference w:id="2"/></w:r>' + run("."))
    body = paragraph("A", heading) + marked + paragraph("more") + paragraph("B", heading) + paragraph("last")
    assert read(tmp_path, body, footnotes=footnotes).text == "A\n\ntext.\n\nmore\n\nthe note\n\nB\n\nlast"


def test_lists_keep_their_levels_and_the_table_of_contents_is_left_out(tmp_path: Path):
    styles = '<w:style w:styleId="c"><w:name w:val="toc 1"/></w:style>'
    contents = (
        '<w:sdt><w:sdtPr><w:docPartObj><w:docPartGallery w:val="Table of Contents"/></w:docPartObj></w:sdtPr>'
        f"<w:sdtContent>{paragraph('lost')}</w:sdtContent></w:sdt>"
    )
    items = paragraph("one", "<w:numPr/>") + paragraph("two", '<w:numPr><w:ilvl w:val="1"/></w:numPr>')
    body = contents + paragraph("lost 3", '<w:pStyle w:val="c"/>') + paragraph("List:") + items
    assert read(tmp_path, body, styles=styles).text == "List:\n- one\n  - two"


def test_a_file_of_another_kind_is_refused_with_its_reason(tmp_path: Path):
    members = word_members(paragraph("text"))
    members["word/document.xml"] = "<workbook/>"
    write_package(tmp_path / "a.docx", members)
    with pytest.raises(
        Unparsable, match=r"^the file is not a Word document \(DOCX\): its main document is a 'workbook'$"
    ):
        list(parse(SourceFile(path=tmp_path / "a.docx", name="a.docx")))


def test_documents_within_the_document_are_reported(tmp_path: Path):
    write_package(tmp_path / "a.docx", word_members(paragraph("text") + '<w:altChunk w:id="1"/>'))
    refused, document = parse(SourceFile(path=tmp_path / "a.docx", name="a.docx"))
    assert refused == Refused(reason="1 documents within the document were not read", id="a.docx#embedded")
    assert isinstance(document, Document)
