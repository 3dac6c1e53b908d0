"""Parts tile the text that they make."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.readers.structured_text import StructuredText
from winnow.retrieval.records import Document, Location, PartKind

TEXTS = st.lists(st.text(alphabet="a 字\r\n\t|", max_size=12), max_size=8)


@given(TEXTS)
def test_parts_tile_the_text_and_hold_each_piece(texts: list[str]) -> None:
    built = StructuredText()
    for text in texts:
        built.add(text)
    document = built.document("id")
    ends = [part.end for part in document.parts]
    assert [part.start for part in document.parts] == [0, *ends[:-1]][: len(ends)]
    assert (ends or [0])[-1] == len(document.text)
    kept = [document.text[part.start : part.end].split() for part in document.parts]
    assert kept == [text.split() for text in texts if text.strip()]


def test_a_part_keeps_what_is_known_of_it() -> None:
    built = StructuredText()
    built.add("  code\r\n  more\r\n", kind=PartKind.CODE, section=("A", "B"), header="h", location=Location(page=2))
    (part,) = built.document("id").parts
    assert built.text == "  code\n  more"  # indentation counts
    assert (part.kind, part.section, part.header, part.location.page) == (PartKind.CODE, ("A", "B"), "h", 2)


def test_the_hash_knows_the_parts_and_without_them_is_the_one_of_before() -> None:
    built = StructuredText()
    built.add("text", location=Location(page=1))
    plain = Document(id="a", text="text")
    assert plain.content_hash == "080dca0e011eba3394d03c6ac91dcb7caaf0ee1127b7bf8bf0f2b3d578398c1b"
    assert built.document("a").content_hash != plain.content_hash
