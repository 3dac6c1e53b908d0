"""Sections, anchors and kinds of a page's parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.readers.documents.web_page import parse, read_page
from winnow.indexer.readers.parser import SourceFile, Unparsable
from winnow.retrieval.records import PartKind


def parts(body: str) -> list[tuple[str, tuple[str, ...], str | None]]:
    document = read_page(f"<html><body>{body}</body></html>", "a.html")
    return [(document.text[p.start : p.end].strip(), p.section, p.location.anchor) for p in document.parts]


def test_headings_become_the_section() -> None:
    assert parts("<p>intro</p><h2>A</h2><p>a</p><h3>B</h3><p>b</p><h4>C</h4><p>c</p><h2>D</h2><p>d</p>") == [
        ("intro", (), None),
        ("A\n\na", ("A",), None),
        ("B\n\nb", ("A", "B"), None),
        ("C\n\nc", ("A", "B", "C"), None),
        ("D\n\nd", ("D",), None),
    ]


def test_headings_without_text_lead_the_next_part() -> None:
    assert parts("<h2>A</h2><h3>B</h3><p>b</p><h2>C</h2>") == [("A\n\nB\n\nb", ("A", "B"), None), ("C", ("C",), None)]


@pytest.mark.parametrize(
    ("body", "anchor"),
    [
        ("<h2 id=x>A</h2>", "x"),
        ("<section id=x><div><h2>A</h2></div></section>", "x"),
        ("<section id=y><h2 id=x>A</h2></section>", "x"),
        ("<h2><a name=x></a>A</h2>", "x"),
        ("<h2><span id=x>A</span></h2>", "x"),
        ("<a name=x></a><h2>A</h2>", "x"),
        ("<div id=y><h1 id=x>B</h1><h2>A</h2></div>", "x"),
        ("<h1 id=y>B</h1><div id=x><h2>A</h2></div>", "x"),
        ("<h2>A</h2><p id=y>b</p>", None),
        ("<p id=x>text</p>", "x"),
    ],
)
def test_anchor_is_the_nearest_id_at_or_above_the_heading(body: str, anchor: str | None) -> None:
    assert parts(body + "<p>text</p>")[-1][2] == anchor


def test_prose_tables_and_code_are_parts_of_their_own() -> None:
    code = "\n".join(f"line {number}" for number in range(9))
    document = read_page(
        f"<h2>A</h2><p>a</p><table><tr><th>n<th>m<tr><td>1<td>2</table><table><tr><th>o<th>p<tr><td>3<td>4</table>"
        f"<p>Type:</p><pre>one line</pre><p>then</p><pre>{code}</pre>",
        "a.html",
    )
    assert [(p.kind, p.header, document.text[p.start : p.end].strip()) for p in document.parts] == [
        (PartKind.PROSE, "", "A\n\na"),
        (PartKind.ROWS, "n | m", "n | m\n1 | 2"),
        (PartKind.ROWS, "o | p", "o | p\n3 | 4"),
        (PartKind.PROSE, "", "Type:\n\none line\n\nthen"),
        (PartKind.CODE, "", code),
    ]


@pytest.mark.parametrize(
    ("title", "heading", "expected", "section"),
    [
        ("Filters | Velora", "Filters", "Filters", ()),
        ("Filters", "Other", "Filters", ("Other",)),
        ("Filters | Velora", "Velora", "Filters | Velora", ()),
        ("", "Filters", "Filters", ()),
    ],
)
def test_title(title: str, heading: str, expected: str, section: tuple[str, ...]) -> None:
    document = read_page(f"<title>{title}</title><h1>{heading}</h1><p>text</p>", "a.html")
    assert document.title == expected
    assert document.parts[0].section == section


def test_a_page_without_text_has_no_text() -> None:
    assert read_page("<html><head><title>Empty</title></head><body><script>x</script></body></html>", "a").text == ""


def test_a_huge_page_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.html"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(Unparsable, match="2147483648 bytes; the limit is"):
        next(parse(SourceFile(path=path, name="huge.html")))


TAGS = st.sampled_from(
    ["div", "p", "h1", "h2", "table", "tr", "td", "th", "ul", "li", "pre", "nav", "main", "a id=x", "br", "script",
     "span hidden", "td rowspan=3 colspan=2", "caption", "dl", "dt", "dd", "ruby", "rt"]
)  # fmt: skip
PIECES = st.one_of(TAGS.map(lambda tag: f"<{tag}>"), TAGS.map(lambda tag: f"</{tag.split()[0]}>"), st.text(max_size=12))


@given(st.lists(PIECES, max_size=40))
def test_any_markup_is_read_or_refused(pieces: list[str]) -> None:
    """Tag soup gives parts that tile the text, or a reason."""
    try:
        document = read_page("".join(pieces), "soup.html")
    except Unparsable:
        return
    assert "".join(document.text[p.start : p.end] for p in document.parts) == document.text
    assert "\0" not in document.text
    document.text.encode()
