"""Which files of a book are read, in which order and under which section."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.packages import write_package
from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents.epub import parse
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.records import Document

CONTAINER = '<container><rootfiles><rootfile full-path="book.opf"/></rootfiles></container>'


def book(pages: dict[str, str], *, ncx: str = "", more: str = "", spine: str = "") -> dict[str, str | bytes]:
    """Return the members of a book without a navigation document."""
    items = "".join(f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in pages)
    order = spine or "".join(f'<itemref idref="{name}"/>' for name in pages)
    return {
        "META-INF/container.xml": CONTAINER,
        "book.opf": f'<package><metadata/><manifest>{items}<item id="n" href="n.ncx"/>{more}</manifest>'
        f'<spine toc="n">{order}</spine></package>',
        "n.ncx": f"<ncx><navMap>{ncx}</navMap></ncx>",
        **{name: f"<html><body>{body}</body></html>" for name, body in pages.items()},
    }


def point(title: str, target: str, inner: str = "") -> str:
    return f'<navPoint><navLabel><text>{title}</text></navLabel><content src="{target}"/>{inner}</navPoint>'


def read(path: Path, members: dict[str, str | bytes]) -> list[Parsed]:
    write_package(path / "a.epub", members)
    return list(parse(SourceFile(path=path / "a.epub", name="a.epub")))


def parts_of(path: Path, members: dict[str, str | bytes]) -> list[tuple[tuple[str, ...], str | None, str]]:
    (document,) = read(path, members)
    assert isinstance(document, Document)
    return [
        (part.section, part.location.anchor, document.text[part.start : part.end].strip()) for part in document.parts
    ]


def test_files_are_read_once_in_the_order_of_the_spine(tmp_path: Path):
    spine = '<itemref idref="b"/><itemref idref="a"/><itemref idref="b"/><itemref idref="gone"/>'
    members = book({"a": "<p>first</p>", "b": "<p>second</p>"}, spine=spine)
    assert parts_of(tmp_path, members) == [((), "b", "second"), ((), "a", "first")]


def test_an_entry_may_point_to_an_element_around_within_or_before_a_heading(tmp_path: Path):
    page = (
        '<p>before</p><section id="one"><h2>One</h2><p>1</p></section><h2><a id="two"></a>Two</h2><p>2</p>'
        '<a id="three"></a><h2>Three</h2><p>3</p>'
    )
    ncx = point("Book", "a", point("One", "a#one") + point("Two", "a#two") + point("Three", "a#three"))
    assert parts_of(tmp_path, book({"a": page}, ncx=ncx)) == [
        (("Book",), "a", "before"),
        (("Book", "One"), "a#one", "One\n\n1"),
        (("Book", "Two"), "a#two", "Two\n\n2"),
        (("Book", "Three"), "a#three", "Three\n\n3"),
    ]


def test_a_file_that_no_entry_names_continues_the_chapter(tmp_path: Path):
    members = book({"a": "<p>a</p>", "b": "<h2>Inner</h2><p>b</p>"}, ncx=point("Chapter", "a"))
    assert parts_of(tmp_path, members) == [
        (("Chapter",), "a", "a"),
        (("Chapter", "Inner"), "b", "Inner\n\nb"),
    ]


def test_without_a_table_of_contents_the_headings_are_the_sections(tmp_path: Path):
    members = book({"a": "<h1>T</h1><p>a</p><h2 id='x'>A</h2><p>b</p>", "b": "<h1>B</h1><p>c</p>"})
    assert parts_of(tmp_path, members) == [((), "a", "T\n\na"), (("A",), "a#x", "A\n\nb"), (("B",), "b", "B\n\nc")]


def test_a_chapter_that_is_missing_is_reported_and_the_others_are_read(tmp_path: Path):
    members = book({"a": "<p>a</p>", "b": "<p>b</p>"})
    del members["a"]
    refused, document = read(tmp_path, members)
    assert refused == Refused(reason="a: the file is damaged: a is missing", id="a.epub#a")
    assert isinstance(document, Document)
    assert document.text == "b"


@pytest.mark.parametrize(
    ("algorithm", "uri", "is_refused"),
    [
        ("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "a", True),
        ("http://www.idpf.org/2008/embedding", "a", False),
        ("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "font.otf", False),
    ],
)
def test_a_book_with_encrypted_chapters_is_refused(tmp_path: Path, algorithm: str, uri: str, is_refused: bool):  # noqa: FBT001
    members = book({"a": "<p>a</p>"})
    members["META-INF/encryption.xml"] = (
        f'<encryption><EncryptedData><EncryptionMethod Algorithm="{algorithm}"/><CipherData>'
        f'<CipherReference URI="{uri}"/></CipherData></EncryptedData></encryption>'
    )
    if not is_refused:
        assert len(read(tmp_path, members)) == 1
        return
    with pytest.raises(Unparsable, match=r"^the book is protected \(DRM\): its chapters are encrypted$"):
        read(tmp_path, members)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"META-INF/container.xml": "<container/>"}, "the file is damaged"),
        ({"book.opf": "<package"}, "book.opf is not well-formed XML"),
        ({"book.opf": '<!DOCTYPE p [<!ENTITY a "b">]><package>&a;</package>'}, "declares a document type or entities"),
    ],
)
def test_a_damaged_book_is_refused(tmp_path: Path, changed: dict[str, str], reason: str):
    with pytest.raises(Unparsable, match=reason):
        read(tmp_path, {**book({"a": "<p>a</p>"}), **changed})


def test_a_package_that_is_no_book_is_refused(tmp_path: Path):
    with pytest.raises(Unparsable, match=r"the file is not an EPUB book: META-INF/container\.xml is missing"):
        read(tmp_path, {"a": "b"})


def test_contents_that_are_nested_without_end_are_read_to_a_depth(tmp_path: Path):
    ncx = "".join(f"<navPoint><navLabel><text>{n}</text></navLabel>" for n in range(60)) + "</navPoint>" * 60
    assert len(parts_of(tmp_path, book({"a": "<p>a</p>"}, ncx=ncx))) == 1
