"""What of a PowerPoint file is text, and in which order."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.presentation import Presentation
from pptx.slide import Slide
from pptx.util import Inches, Pt

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents import slides
from winnow.indexer.readers.documents.slides import parse
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.records import Document

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364600000000600023081d02f"
    "0000000049454e44ae426082"
)


def read(path: Path, *writers: Callable[[Slide], None], layout: int = 6) -> list[Parsed]:
    """Write one slide by each function, and parse the file."""
    deck: Presentation = pptx.Presentation()
    for write in writers:
        write(deck.slides.add_slide(deck.slide_layouts[layout]))
    deck.save(str(path / "a.pptx"))
    return list(parse(SourceFile(path=path / "a.pptx", name="a.pptx")))


def text_box(shapes, text: str, left: float, top: float) -> None:
    shapes.add_textbox(Inches(left), Inches(top), Inches(1), Inches(1)).text_frame.text = text


def text_of(parsed: list[Parsed]) -> str:
    (document,) = (each for each in parsed if isinstance(each, Document))
    return document.text


def test_shapes_are_read_by_rows_and_groups_as_one(tmp_path: Path):
    def write(slide: Slide) -> None:
        text_box(slide.shapes, "below", 0, 5)
        text_box(slide.shapes, "right", 5, 1)
        text_box(slide.shapes, "left", 1, 1.1)
        group = slide.shapes.add_group_shape()
        text_box(group.shapes, "group second", 3, 3.5)
        text_box(group.shapes, "group first", 2, 3)

    assert text_of(read(tmp_path, write)) == "left\n\nright\n\ngroup first\n\ngroup second\n\nbelow"


def test_title_placeholders_and_notes_are_read_and_repeated_ones_are_not(tmp_path: Path):
    def write(slide: Slide) -> None:
        text_box(slide.shapes, "box", 0, 0)
        slide.shapes.title.text = "The title"
        slide.placeholders[1].text = "first point\nsecond point"
        slide.notes_slide.notes_text_frame.text = "Say this."
        footer = slide.shapes.add_textbox(Inches(1), Inches(9), Pt(9), Pt(9))
        footer.text_frame.text = "lost"
        properties = footer._element.nvSpPr.nvPr
        properties.append(properties.makeelement(properties.tag.replace("nvPr", "ph"), {"type": "ftr"}))

    parsed = read(tmp_path, write, layout=1)
    assert text_of(parsed) == "The title\n\nfirst point\nsecond point\n\nbox\n\nNotes: Say this."


def test_a_hidden_slide_is_read_and_marked(tmp_path: Path):
    def write(slide: Slide) -> None:
        slide._element.set("show", "0")
        slide.shapes.title.text = "Old prices"
        slide.placeholders[1].text = "the text"

    assert text_of(read(tmp_path, write, layout=1)) == "Old prices\n\n(hidden slide)\n\nthe text"


def test_a_chart_is_a_table_of_its_cached_values(tmp_path: Path):
    def write(slide: Slide) -> None:
        data = CategoryChartData()
        data.categories = ["east", "west"]
        data.add_series("sold", (3, 0.1 + 0.2))
        data.add_series("returned", (None, 1))
        box = (Inches(1), Inches(1), Inches(4), Inches(4))
        chart = slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *box, data).chart
        chart.has_title = True
        chart.chart_title.text_frame.text = "Machines"

    assert text_of(read(tmp_path, write)) == "Machines\n\n| sold | returned\neast | 3\nwest | 0.3 | 1"


def test_merged_cells_of_a_table(tmp_path: Path):
    def write(slide: Slide) -> None:
        table = slide.shapes.add_table(3, 3, Inches(1), Inches(1), Inches(4), Inches(4)).table
        for cell, text in zip(
            table.iter_cells(), ("Part", "Size", "", "lid", "2", "red", "", "3", "a\vb"), strict=True
        ):
            cell.text = text
        table.cell(0, 1).merge(table.cell(0, 2))
        table.cell(1, 0).merge(table.cell(2, 0))

    assert text_of(read(tmp_path, write)) == "Part | Size\nlid | 2 | red\nlid | 3 | a b"


def test_slides_with_pictures_alone_are_reported_once(tmp_path: Path):
    def picture(slide: Slide) -> None:
        slide.shapes.add_picture(io.BytesIO(PNG), Inches(1), Inches(1))

    def nothing(slide: Slide) -> None:
        pass

    parsed = read(tmp_path, picture, nothing, lambda slide: text_box(slide.shapes, "text", 1, 1), picture)
    assert parsed[0] == Refused(reason="slides with pictures but no text: 1, 4", id="a.pptx#pictures")
    assert isinstance(parsed[1], Document)
    assert [part.location.slide for part in parsed[1].parts] == [3]


def test_a_damaged_slide_is_reported_and_the_others_are_read(tmp_path: Path):
    read(tmp_path, *[lambda slide: text_box(slide.shapes, "text", 1, 1)] * 2)
    with zipfile.ZipFile(tmp_path / "a.pptx") as old, zipfile.ZipFile(tmp_path / "b.pptx", "w") as new:
        for name in old.namelist():
            new.writestr(name, b"<p" if name == "ppt/slides/slide1.xml" else old.read(name))
    refused, document = parse(SourceFile(path=tmp_path / "b.pptx", name="b.pptx"))
    assert isinstance(refused, Refused)
    assert refused.id == "b.pptx#1"
    assert refused.reason.startswith("slide 1: the file is damaged: ppt/slides/slide1.xml is not well-formed XML")
    assert isinstance(document, Document)
    assert document.text == "text"


def test_too_many_slides_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slides, "SLIDES_MAX", 1)
    with pytest.raises(Unparsable, match="the file has 2 slides; at most 1 are read"):
        read(tmp_path, *[lambda slide: text_box(slide.shapes, "text", 1, 1)] * 2)
