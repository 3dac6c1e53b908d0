"""The facts in XML documents."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.facts import FACTS, ROWS, TITLE, chapters, only_part_with
from winnow.indexer.readers.markup.xml_document import PART_CHARACTERS_MAX, parse
from winnow.indexer.readers.parser import SourceFile, Unparsable
from winnow.retrieval.records import Document


def read(path: Path, content: str | bytes) -> Document:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (document,) = parse(SourceFile(path=path, name=path.name))
    assert isinstance(document, Document)
    return document


def texts(document: Document) -> list[str]:
    return [document.text[part.start : part.end].strip() for part in document.parts]


def _element(parent: ET.Element, name: str, text: str = "") -> ET.Element:
    made = ET.SubElement(parent, name)
    made.text = text
    return made


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_each_fact_is_in_its_section(tmp_path: Path, encoding: str):
    book = ET.Element("book", lang="en")
    _element(book, "title", TITLE)
    numbers = {}
    for chapter_number, (chapter, entries) in enumerate(chapters(), start=1):
        below = _element(book, "chapter")
        _element(below, "title", chapter)
        for number, (section, facts) in enumerate(entries, start=1):
            around = _element(below, "section")
            _element(around, "title", section)
            for fact in facts:
                _element(around, "para", fact.text)
                numbers[fact.id] = (chapter_number, number)
    path = tmp_path / "facts.xml"
    document = read(path, ET.tostring(book, encoding=encoding, xml_declaration=True))
    assert (document.title, document.metadata) == (TITLE, {"language": "en"})
    for fact in FACTS:
        _, part = only_part_with(fact.text, [document])
        chapter_number, number = numbers[fact.id]
        assert part.section == fact.section
        numbered = [f"{name}[{place}]" if place > 1 else name for name, place in
                    (("chapter", chapter_number), ("section", number))]  # fmt: skip
        assert part.location.symbol == ".".join(["book", *numbered])


def test_fields_of_records_are_named(tmp_path: Path):
    rows = ET.Element("rows")
    for fact_id, chapter, _, text, *_ in ROWS:
        row = ET.SubElement(rows, "row", id=fact_id)
        _element(row, "chapter", chapter)
        _element(row, "fact", text)
    document = read(tmp_path / "facts.xml", ET.tostring(rows, encoding="utf-8"))
    for place, fact in enumerate(FACTS, start=1):
        _, part = only_part_with(fact.text, [document])
        assert part.location.symbol == ("rows.row" if place == 1 else f"rows.row[{place}]")
        assert texts(document)[place - 1] == f"row id: {fact.id}\nchapter: {fact.section[0]}\nfact: {fact.text}"


def test_a_feed_keeps_mixed_text_and_every_attribute(tmp_path: Path):
    feed = (
        '<rss xmlns:m="urn:m"><channel><title>News</title><!-- no --><item m:rank="2"><title>One</title>'
        "<description>Some <b>mixed</b> text.</description><enclosure url='a.mp3'/></item></channel></rss>"
    )
    document = read(tmp_path / "a.xml", feed)
    assert texts(document) == ["News", "item rank: 2\nOne\nSome mixed text.\nenclosure url: a.mp3"]
    assert [part.section for part in document.parts] == [("News",), ("News", "One")]


def test_long_elements_are_divided(tmp_path: Path):
    paragraphs = "".join(f"<p>{'word ' * 100}{number}</p>" for number in range(30))
    document = read(tmp_path / "a.xml", f"<a>{paragraphs}</a>")
    assert all(part.end - part.start <= PART_CHARACTERS_MAX + 20 for part in document.parts)
    assert len(document.parts) > 3


def bomb() -> str:
    levels = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
    return f'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">{levels}]>'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f'{bomb()}<a x="&j;"/>', "amplification"),
        (f"{bomb()}<a>&j;</a>", "amplification"),
        ("<a>" * 300 + "</a>" * 300, "depth"),
        ("<a><b></a>", "line 1"),
        ("", "empty"),
        ("<?xml version='1.0' encoding='no-such'?><a>x</a>", "not"),
        (b"\x00\xff" * 50, "not"),
    ],
)
def test_broken_and_hostile_files_are_refused(tmp_path: Path, content: str | bytes, reason: str):
    with pytest.raises(Unparsable, match=reason):
        read(tmp_path / "a.xml", content)


def test_no_entity_is_expanded_and_no_file_is_read(tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    declared = f'<!DOCTYPE a SYSTEM "{secret}" [<!ENTITY x SYSTEM "{secret}"><!ENTITY co "A and B">]>'
    document = read(tmp_path / "a.xml", f"{declared}<a>By &co; and &x;</a>")
    assert document.text == "By &co; and &x;"


@settings(deadline=None)
@given(content=st.binary(max_size=200) | st.text("<>/ab&;= \"'!?[]", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    with suppress(Unparsable):
        document = read(tmp_path_factory.getbasetemp() / "a.xml", content)
        assert "".join(document.text[part.start : part.end] for part in document.parts) == document.text
