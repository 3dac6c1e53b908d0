"""Structure: locations narrow to chunks, what is stored comes back, passages read the same everywhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.retrieval.document_fields import FieldChoice
from winnow.retrieval.records import (
    BREADCRUMB_CHARACTERS_MAX,
    HEADER_CHARACTERS_MAX,
    Location,
    Part,
    PartKind,
    Span,
    breadcrumb,
    candidates_of,
    passage_head,
    passage_of,
)
from winnow.retrieval.structure import (
    Placed,
    cite,
    join_places,
    known_places,
    parts_fault,
    place_spans,
    placed_of,
    structure_json,
)

TEXTS = st.text(alphabet="ab\n 退é\"'\\\x00👍", max_size=8)
NUMBERS = st.none() | st.integers(1, 2**31 - 1)
LOCATIONS = st.builds(
    Location,
    page=NUMBERS,
    slide=NUMBERS,
    sheet=st.none() | TEXTS,
    row=NUMBERS,
    row_end=NUMBERS,
    cell=NUMBERS,
    line=NUMBERS,
    line_end=NUMBERS,
    symbol=st.none() | TEXTS,
    anchor=st.none() | TEXTS,
)
PARTS = st.builds(
    Part,
    start=st.integers(0, 9),
    end=st.integers(10, 99),
    kind=st.sampled_from(PartKind),
    section=st.lists(TEXTS, max_size=3).map(tuple),
    header=TEXTS,
    location=LOCATIONS,
)


@given(part=st.none() | PARTS, own=LOCATIONS)
def test_what_is_stored_comes_back(part: Part | None, own: Location) -> None:
    """Whatever headings, headers and locations say."""
    for placed in (Placed(part=part, location=part.location), Placed(part=part, location=own)) if part else (Placed(),):
        assert placed_of(structure_json(placed)) == placed


@settings(max_examples=200)
@given(
    text=st.text(alphabet="ab \n", min_size=1, max_size=60),
    cuts=st.sets(st.integers(1, 59)),
    ends=st.sets(st.integers(1, 59), max_size=3),
    kind=st.sampled_from(PartKind),
)
def test_lines_and_rows_are_those_of_the_chunk(text: str, cuts: set[int], ends: set[int], kind: PartKind) -> None:
    """The first and the last line with anything in it, counted the slow way: by writing every line down."""
    part_ends = sorted({each for each in ends if each < len(text)} | {len(text)})
    span_ends = sorted({each for each in cuts if each < len(text)} | set(part_ends))
    parts = [
        Part(start=start, end=end, kind=kind, location=Location(line=10, row=20))
        for start, end in pairwise([0, *part_ends])
    ]
    spans = [Span(start=start, end=end) for start, end in pairwise([0, *span_ends])]
    for span, placed in zip(spans, place_spans(text, parts, spans), strict=True):
        part = placed.part
        assert part is not None
        assert part.start <= span.start < span.end <= part.end
        line, lines = 0, []
        for position in range(part.start, span.end):
            if position >= span.start and not text[position].isspace():
                lines.append(line)
            line += text[position] == "\n"
        if lines:
            assert (placed.location.line, placed.location.line_end) == (10 + lines[0], 10 + lines[-1])
            own_rows = (20 + lines[0], 20 + lines[-1]) if kind is PartKind.ROWS else (20, None)
            assert (placed.location.row, placed.location.row_end) == own_rows


@given(title=TEXTS, text=TEXTS)
def test_a_passage_without_structure_is_what_it_was(title: str, text: str) -> None:
    """Vectors and scores of earlier versions stay valid."""
    assert passage_of(title, text) == (f"{title}\n{text}" if title else text)


def test_a_passage_reads_headings_then_header_then_text() -> None:
    assert passage_of("T", "x", section=("A", "B"), header="h | i") == "T > A > B\nh | i\nx"
    assert passage_of("", "x", section=("A",)) == "A\nx"
    assert passage_of("T", "x", section=("",), header="h") == "T\nh\nx"


@given(section=st.lists(st.text(alphabet="ab \n退", max_size=120), max_size=6))
def test_a_breadcrumb_is_one_bounded_line(section: list[str]) -> None:
    """Outer headings go first; the innermost stays, at least its beginning."""
    line = breadcrumb(section)
    assert len(line) <= BREADCRUMB_CHARACTERS_MAX
    assert "\n" not in line
    headings = [" ".join(each.split()) for each in section if each.strip()]
    if headings:
        assert line.endswith(headings[-1]) or line.startswith(headings[-1][:100])
    if len(" > ".join(headings)) <= BREADCRUMB_CHARACTERS_MAX:
        assert line == " > ".join(headings)
    else:
        assert "…" in line


def test_a_long_header_is_cut() -> None:
    head = passage_head("", (), "column | " * 100)
    assert len(head) == HEADER_CHARACTERS_MAX + 1 or head.endswith("…\n")
    assert len(head) <= HEADER_CHARACTERS_MAX + 1


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (Location(page=12), "page 12"),
        (Location(sheet="Q3", row=40, row_end=52), "sheet Q3, rows 40-52"),
        (Location(line=10, line_end=48, symbol="Client.send"), "lines 10-48, Client.send"),
        (Location(line=3, line_end=3), "line 3"),
        (Location(cell=2, line=1), "cell 2, line 1"),
        (Location(slide=4, anchor="a"), "slide 4, #a"),
        (Location(anchor="text/ch1.xhtml#b"), "text/ch1.xhtml#b"),
        (Location(), ""),
    ],
)
def test_a_citation_is_words(location: Location, words: str) -> None:
    assert cite(location) == words


def test_neighbours_join_to_one_place() -> None:
    lines = Location(line=3, line_end=4)
    assert join_places(lines, Location(line=9, line_end=12)) == Location(line=3, line_end=12)
    assert join_places(lines, Location(page=2)) == lines
    q3 = Location(sheet="Q3", row=3, row_end=4)
    assert join_places(q3, replace(q3, row=7, row_end=9)) == replace(q3, row_end=9)
    assert join_places(q3, Location(sheet="Q4", row=7, row_end=9)) == q3


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ([Part(start=0, end=3), Part(start=3, end=5)], None),
        ([], None),
        ([Part(start=1, end=5)], "part 0 covers characters 1 to 5"),
        ([Part(start=0, end=3), Part(start=2, end=5)], "part 1 covers characters 2 to 5"),
        ([Part(start=0, end=0), Part(start=0, end=5)], "part 0 covers characters 0 to 0"),
        ([Part(start=0, end=4)], "the parts end at character 4, but the text at 5"),
        ([Part(start=0, end=6)], "the parts end at character 6, but the text at 5"),
        ([Part(start=0, end=5, section=("a",) * 17)], "17 headings"),
        ([Part(start=0, end=5, section=("a" * 513,))], "the heading has 513 characters"),
        ([Part(start=0, end=5, header="\ud800")], "the header contains"),
        ([Part(start=0, end=5, location=Location(page=0))], "page is 0"),
        ([Part(start=0, end=5, location=Location(sheet="a\0"))], "the sheet contains"),
    ],
)
def test_parts_that_cannot_be_are_refused(parts: list[Part], fault: str | None) -> None:
    found = parts_fault(5, parts)
    assert found is None if fault is None else fault in (found or "")


def test_only_what_is_known_is_told() -> None:
    assert known_places(Location(page=3, sheet="")) == {"page": 3, "sheet": ""}


def test_section_and_location_are_fields_that_a_reranker_may_read() -> None:
    """`rerank_fields` may name them; a chunk without parts has only what its metadata says."""
    chunk = replace(
        candidates_of(["x"])[0].chunk,
        metadata={"year": 2026, "page": "old"},
        part=Part(start=0, end=1, section=("A", "B")),
        location=Location(page=3),
    )
    choice = FieldChoice(names=("section", "page", "row", "year"))
    assert choice.lines_of(chunk).lines == ("section: A > B", "page: 3", "year: 2026")
    assert choice.lines_of(replace(chunk, part=None)).lines == ("page: old", "year: 2026")
