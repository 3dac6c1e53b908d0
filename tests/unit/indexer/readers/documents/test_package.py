"""Packages are bounded, and a damaged one says what is wrong with it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.formats.packages import word_members, write_package
from winnow.indexer.readers.documents import package
from winnow.indexer.readers.documents.package import open_package, resolve
from winnow.indexer.readers.parser import Unparsable

GOOD = word_members("<w:p><w:r><w:t>text</w:t></w:r></w:p>")


def open_main(path: Path) -> None:
    with open_package(path, "a Word document (DOCX)") as opened:
        opened.main("document", "a Word document (DOCX)")


def test_a_good_package_opens(tmp_path: Path):
    write_package(tmp_path / "a.docx", GOOD)
    open_main(tmp_path / "a.docx")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"word/document.xml": "<a>" * 300 + "</a>" * 300}, "not well-formed XML"),
        ({"word/document.xml": "<a"}, "word/document.xml is not well-formed XML"),
        ({"word/document.xml": '<!DOCTYPE a SYSTEM "http://127.0.0.1/x"><a/>'}, "declares a document type"),
        ({"word/document.xml": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'}, "document type"),
        ({"word/document.xml": "<document>" + " " * 30_000_000 + "</document>"}, "more than 200 to 1 is refused"),
        ({"_rels/.rels": "<Relationships/>"}, "it has no main document"),
    ],
    ids=["deep", "cut off", "DTD", "entity", "bomb", "empty"],
)
def test_hostile_xml_is_refused(tmp_path: Path, changed: dict[str, str], reason: str):
    write_package(tmp_path / "a.docx", {**GOOD, **changed})
    with pytest.raises(Unparsable, match=reason):
        open_main(tmp_path / "a.docx")


def test_expanding_entities_take_neither_time_nor_memory(tmp_path: Path):
    entities = "".join(f'<!ENTITY a{each + 1} "{f"&a{each};" * 10}">' for each in range(9))
    bomb = f'<!DOCTYPE a [<!ENTITY a0 "ha">{entities}]><a b="&a9;">&a9;</a>'
    write_package(tmp_path / "a.docx", {**GOOD, "word/document.xml": bomb})
    with pytest.raises(Unparsable):
        open_main(tmp_path / "a.docx")


def test_every_cut_of_a_file_is_refused(tmp_path: Path):
    write_package(tmp_path / "a.docx", GOOD)
    content = (tmp_path / "a.docx").read_bytes()
    for length in range(0, len(content), 97):
        (tmp_path / "cut.docx").write_bytes(content[:length])
        with pytest.raises(Unparsable, match=r"the file is not a Word document \(DOCX\), or it is damaged"):
            open_main(tmp_path / "cut.docx")


def test_a_changed_byte_is_found_or_does_no_harm(tmp_path: Path):
    write_package(tmp_path / "a.docx", GOOD)
    content = (tmp_path / "a.docx").read_bytes()
    refused = 0
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        (tmp_path / "changed.docx").write_bytes(changed)
        try:
            open_main(tmp_path / "changed.docx")
        except Unparsable:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            "EncryptedPackage".encode("utf-16-le"),
            "the file is encrypted with a password. Save a copy without a password",
        ),
        (b"WordDocument", "Save it as a Word document"),
    ],
)
def test_a_compound_file_is_encrypted_or_old(tmp_path: Path, content: bytes, reason: str):
    (tmp_path / "a.docx").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600) + content)
    with pytest.raises(Unparsable, match=reason):
        open_main(tmp_path / "a.docx")


def test_an_encrypted_member_is_refused(tmp_path: Path):
    write_package(tmp_path / "a.docx", GOOD)
    content = bytearray((tmp_path / "a.docx").read_bytes())
    place = 0
    while (place := content.find(b"PK\x01\x02", place)) >= 0:
        content[place + 8] |= 1
        place += 4
    (tmp_path / "a.docx").write_bytes(content)
    with pytest.raises(Unparsable, match="encrypted with a password"):
        open_main(tmp_path / "a.docx")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(package, "MEMBERS_MAX", 4)
    write_package(tmp_path / "a.docx", GOOD)
    with pytest.raises(Unparsable, match="the file has 6 members; at most 4 are read"):
        open_main(tmp_path / "a.docx")


def test_a_member_that_lies_about_its_size_is_cut_at_the_size_that_was_checked(tmp_path: Path):
    write_package(tmp_path / "a.docx", {**GOOD, "word/document.xml": "<document>" + " " * 100_000 + "</document>"})
    with zipfile.ZipFile(tmp_path / "a.docx") as archive:
        size = archive.getinfo("word/document.xml").file_size
    content = (tmp_path / "a.docx").read_bytes().replace(size.to_bytes(4, "little"), (50).to_bytes(4, "little"))
    (tmp_path / "a.docx").write_bytes(content)
    with pytest.raises(Unparsable, match="cannot be decompressed"):
        open_main(tmp_path / "a.docx")


def test_a_reference_never_leaves_the_package():
    assert resolve("word", "media/a.png") == "word/media/a.png"
    assert resolve("word", "/word/a.xml") == "word/a.xml"
    assert resolve("word", "../../../etc/passwd") == "etc/passwd"
