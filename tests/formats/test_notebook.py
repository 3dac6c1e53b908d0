"""The facts in Jupyter notebooks."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import nbformat.v3
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from tests.formats.facts import AUTHOR, FACTS, TITLE, chapters, only_part_with
from winnow.indexer.readers.documents.notebook import OUTPUT_CHARACTERS_MAX, parse
from winnow.indexer.readers.parser import SourceFile, Unparsable
from winnow.retrieval.records import Document, Part, PartKind

IMAGE = "iVBORw0KGgo" * 50


def read(path: Path, content: bytes | str) -> Document:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (document,) = parse(SourceFile(path=path, name=path.name))
    assert isinstance(document, Document)
    return document


def read_cells(path: Path, *cells: Any, **metadata: Any) -> Document:
    return read(path, nbformat.writes(new_notebook(cells=list(cells), metadata=metadata)))


def texts(document: Document) -> list[str]:
    return [document.text[part.start : part.end].strip() for part in document.parts]


def written() -> tuple[list[Any], dict[str, int]]:
    """The facts in turn as Markdown, as a comment in code, and as output; with the number of each one's cell."""
    cells: list[Any] = [new_markdown_cell(f"# {TITLE}")]
    numbers = {}
    for chapter, sections in chapters():
        cells.append(new_markdown_cell(f"## {chapter}"))
        for section, facts in sections:
            for place, fact in enumerate(facts):
                heading = f"### **{section}**\n\n" if place == 0 else ""
                match place % 3:
                    case 0:
                        cells.append(new_markdown_cell(heading + fact.text))
                    case 1:
                        cells.append(new_code_cell(f"# {fact.text}\nprint(1)"))
                    case _:
                        output = new_output("stream", text=f"{fact.text}\n")
                        cells.append(new_code_cell("show()", outputs=[output]))
                numbers[fact.id] = len(cells)
    return cells, numbers


def test_each_fact_is_in_its_cell_and_section(tmp_path: Path):
    cells, numbers = written()
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    document = read_cells(tmp_path / "a.ipynb", *cells, kernelspec=kernel, authors=[{"name": AUTHOR}])
    assert document.title == TITLE
    assert document.metadata == {"language": "python", "author": AUTHOR}
    for fact in FACTS:
        _, part = only_part_with(fact.text, [document])
        assert (part.section, part.location.cell) == (fact.section, numbers[fact.id])


def test_notebooks_of_format_3_are_read(tmp_path: Path):
    v3 = nbformat.v3
    cells = [v3.new_heading_cell(source=TITLE, level=1)]
    for chapter, sections in chapters():
        cells.append(v3.new_heading_cell(source=chapter, level=2))
        for section, facts in sections:
            cells.append(v3.new_heading_cell(source=section, level=3))
            for fact in facts:
                output = v3.new_output(output_type="pyout", output_text="42", output_png=IMAGE)
                cells.append(v3.new_code_cell(input=f"# {fact.text}", outputs=[output], language="python"))
    path = tmp_path / "a.ipynb"
    notebook = v3.new_notebook(worksheets=[v3.new_worksheet(cells=cells)])
    document = read(path, v3.writes_json(notebook))
    assert (document.title, document.metadata) == (TITLE, {"language": "python"})
    for fact in FACTS:
        _, part = only_part_with(fact.text, [document])
        assert (part.section, part.kind) == (fact.section, PartKind.CODE)
    assert "Output:\n42" in document.text
    assert IMAGE not in document.text


def test_of_outputs_only_readable_text_is_kept(tmp_path: Path):
    figure = new_output(
        "display_data", data={"image/png": IMAGE, "text/html": "<b>x</b>", "text/plain": "<Figure size 640x480>"}
    )
    failure = new_output("error", ename="ValueError", evalue="too \x1b[31mlarge\x1b[0m", traceback=["a", "b"])
    long = new_output("stream", text="y" * 100 + " " + "word " * 1_000)
    document = read_cells(tmp_path / "a.ipynb", new_code_cell("run()", outputs=[figure, failure, long]))
    assert document.text.startswith("run()\n\nOutput:\nValueError: too large\nyyy")
    assert document.text.endswith(" …")
    assert len(document.text) < OUTPUT_CHARACTERS_MAX + 100
    assert "Figure" not in document.text


def test_encoded_data_is_left_out_of_every_cell(tmp_path: Path):
    link = f"![plot](data:image/png;base64,{IMAGE})"
    document = read_cells(
        tmp_path / "a.ipynb",
        new_markdown_cell(f"See {link} here", attachments={"a.png": {"image/png": IMAGE}}),
        new_code_cell(f"x = '{IMAGE}'"),
        new_raw_cell("raw text"),
    )
    assert texts(document) == ["See ![plot]() here", "x = ''", "raw text"]


def test_headings_follow_markdown(tmp_path: Path):
    markdown = "Top\n===\nintro\n\n```\n# not a heading\n```\n\n## Second ##\n- a\n---\nnext\n\nThird\n---\nlast"
    document = read_cells(tmp_path / "a.ipynb", new_markdown_cell(markdown))
    assert document.title == "Top"
    assert [part.section for part in document.parts] == [(), ("Second",), ("Third",)]
    assert texts(document) == [
        "Top\n\nintro\n\n```\n# not a heading\n```",
        "Second\n\n- a\n---\nnext",
        "Third\n\nlast",
    ]


def test_a_heading_cell_stands_above_the_next_text_and_in_the_section_of_code(tmp_path: Path):
    document = read_cells(
        tmp_path / "a.ipynb",
        new_markdown_cell("# T"),
        new_markdown_cell("## One"),
        new_markdown_cell("text"),
        new_markdown_cell("## Two"),
        new_code_cell("code()"),
        new_markdown_cell("## Three"),
    )
    assert texts(document) == ["T\n\nOne\n\ntext", "code()", "Three"]
    assert [(part.section, part.location.cell) for part in document.parts] == [(("One",), 3), (("Two",), 5), ((), 6)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "invalid JSON"),
        ("{", "invalid JSON"),
        ('{"cells": [' + "[" * 1_000, "64 levels"),
        ("[1]", "no cells"),
        ('{"a": 1}', "no cells"),
    ],
)
def test_what_is_no_notebook_is_refused(tmp_path: Path, content: str, reason: str):
    with pytest.raises(Unparsable, match=reason):
        read(tmp_path / "a.ipynb", content)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.text(max_size=8) | st.just("# a\nb"),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["cells", "cell_type", "source", "outputs", "output_type", "data", "text", "text/plain", "metadata",
             "level", "input", "worksheets", "authors", "name", "kernelspec", "language"]
        ),
        inner | st.sampled_from(["markdown", "code", "heading", "stream", "error"]),
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(deadline=None)
@given(cells=VALUES, metadata=VALUES)
def test_any_json_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, cells: Any, metadata: Any):
    content = orjson.dumps({"cells": cells, "metadata": metadata, "worksheets": metadata})
    document = read(tmp_path_factory.getbasetemp() / "a.ipynb", content)
    assert _end(document.parts) == len(document.text)


@settings(deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    with suppress(Unparsable):
        read(tmp_path_factory.getbasetemp() / "a.ipynb", content)


def _end(parts: tuple[Part, ...]) -> int:
    return parts[-1].end if parts else 0
