"""A flow becomes parts that lose nothing, each under its section."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.readers.documents import outline
from winnow.indexer.readers.documents.outline import Outline, row_line
from winnow.indexer.readers.parser import Unparsable
from winnow.retrieval.records import Location, PartKind

FLOWS = st.lists(st.tuples(st.sampled_from(["heading", "paragraph", "rows"]), st.integers(1, 4)), max_size=12)


@given(FLOWS)
def test_nothing_is_lost_and_everything_is_below_its_headings(flow: list[tuple[str, int]]):
    built, above, expected = Outline(), [], {}
    for number, (kind, level) in enumerate(flow):
        word = f"w{number}."
        if kind == "heading":
            built.heading(level, word)
            above = [*(each for each in above if each[0] < level), (level, word)]
            continue
        expected[word] = tuple(text for _, text in above)
        if kind == "rows":
            built.rows([[word, "x"], ["y", "z"]])
        else:
            built.paragraph(word)
    document = built.document("id", title="the title")
    assert [word for word in document.text.split() if word in expected] == list(expected)
    for part in document.parts:
        for word in document.text[part.start : part.end].split():
            assert expected.get(word, part.section) == part.section
    kept = {*document.text.split(), *(each for part in document.parts for each in part.section)}
    assert {f"w{number}." for number in range(len(flow))} <= kept


def sections(built: Outline) -> list[tuple[tuple[str, ...], str]]:
    document = built.document("id", title="the title")
    return [(part.section, document.text[part.start : part.end].strip()) for part in document.parts]


def test_headings_without_text_share_a_part_below_what_they_have_in_common():
    built = Outline()
    for level, text in ((1, "A"), (2, "B"), (2, "C"), (3, "D")):
        built.heading(level, text)
    built.paragraph("text")
    built.heading(2, "E")
    built.heading(2, "F")
    assert sections(built) == [((), "A\n\nB"), (("A", "C", "D"), "C\n\nD\n\ntext"), (("A",), "E\n\nF")]


def test_a_heading_above_a_table_stands_in_the_section_only():
    built = Outline()
    built.heading(1, "A")
    built.rows([["x", "y"], ["1", "2"]])
    built.paragraph("text")
    assert sections(built) == [(("A",), "x | y\n1 | 2"), (("A",), "text")]


def test_a_level_that_is_skipped_nests_as_if_it_were_there():
    built = Outline()
    for level, text in ((1, "A"), (4, "B"), (3, "C"), (4, "D")):
        built.heading(level, text)
        built.paragraph(text.lower())
    assert [section for section, _ in sections(built)] == [("A",), ("A", "B"), ("A", "C"), ("A", "C", "D")]


def test_the_first_heading_is_the_title_unless_there_is_one_and_no_section_repeats_it():
    built = Outline()
    built.heading(1, "Title")
    built.heading(2, "A")
    built.paragraph("text")
    document = built.document("id")
    assert (document.title, document.parts[0].section) == ("Title", ("A",))


def test_a_long_heading_is_a_paragraph():
    built = Outline()
    built.heading(1, "long " * 50)
    assert sections(built) == [((), ("long " * 50).strip())]


def test_each_part_has_the_location_of_its_first_paragraph():
    built = Outline()
    for page in (1, 2):
        built.begin(("S",), Location(page=page))
        assert built.is_empty
        built.paragraph("text")
        assert not built.is_empty
    document = built.document("id")
    assert [(part.location.page, part.kind) for part in document.parts] == [(1, PartKind.PROSE), (2, PartKind.PROSE)]


def test_a_row_is_one_line():
    assert row_line(["a\nb", " c\u2028 d ", "", "|", "", " "]) == "a b | c d |  | |"
    assert row_line(["", ""]) == ""


def test_too_much_text_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outline, "DOCUMENT_CHARACTERS_MAX", 10)
    built = Outline()
    built.paragraph("more than ten")
    built.heading(1, "A")
    with pytest.raises(Unparsable, match=r"the file has more than 10 characters of text\. Split it"):
        built.document("id")
