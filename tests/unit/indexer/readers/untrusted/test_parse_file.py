"""What a file holds: by content and then by ending, in archives within archives, in this process."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from winnow.indexer.corpus import Refused
from winnow.indexer.readers import formats
from winnow.indexer.readers.formats import FORMATS, Format, ending_of, format_of_name
from winnow.indexer.readers.untrusted.detection import find_format, guess_format
from winnow.indexer.readers.untrusted.parse_file import parse_file
from winnow.indexer.sandbox.outcomes import Ended, Member, Outcome, Skipped, Task
from winnow.retrieval.records import Document


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))


def parsed(path: Path, **asked: object) -> list[Outcome]:
    found = list(parse_file(Task(path=str(path), name=path.name, **asked)))  # type: ignore[arg-type]
    assert list((path.parent / "scratch").iterdir()) == []
    return found


def texts(path: Path) -> dict[str, str]:
    return {each.id: each.text for each in parsed(path) if isinstance(each, Document)}


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return stream.getvalue()


def tarred(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def test_members_are_documents_named_by_their_path(tmp_path: Path):
    """Also in archives within archives, and in this order."""
    inner = zipped(deep__x_txt=b"deep")
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(one_txt=b"one", in__b_zip=inner, c_md=b"# T\nword", d_png=b"\x89PNG"))
    assert texts(path) == {
        "a.zip/one.txt": "one",
        "a.zip/in/b.zip/deep/x.txt": "deep",
        "a.zip/c.md": "# T\nword",
    }
    assert Skipped(ending=".png", count=1) in parsed(path)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "tar.zst"])
def test_tar_in_every_compression(tmp_path: Path, ending: str):
    """The content decides how it is unpacked, the ending does not."""
    path, data = tmp_path / f"a.{ending}", tarred(a_txt=b"one", b_md=b"two")
    path.write_bytes(_compress(data, ending))
    assert texts(path) == {f"a.{ending}/a.txt": "one", f"a.{ending}/b.md": "two"}


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_a_compressed_file_keeps_its_name(tmp_path: Path, ending: str):
    """It is one document."""
    path = tmp_path / f"a.txt.{ending}"
    path.write_bytes(_compress(b"words", ending))
    assert texts(path) == {path.name: "words"}


def _compress(data: bytes, ending: str) -> bytes:
    match ending.rpartition(".")[2]:
        case "gz" | "tgz":
            return gzip.compress(data)
        case "bz2":
            return bz2.compress(data)
        case "xz":
            return lzma.compress(data)
        case "zst":
            return bytes(pa.Codec("zstd").compress(data, asbytes=True))
        case _:
            return data


def test_a_reading_continues_behind_a_broken_member(tmp_path: Path):
    """With the same numbers: members that are done are not read again, an archive among them is entered."""
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(one_txt=b"1", in_zip=zipped(x_txt=b"2", y_txt=b"3"), z_txt=b"4"))
    numbers = {each.name: each.number for each in parsed(path) if isinstance(each, Member)}
    assert list(numbers.values()) == [1, 2, 3, 4, 5]
    broken = numbers["a.zip/in.zip/x.txt"]
    again = parsed(path, resume_after=broken, broken=(broken,))
    assert [each.text for each in again if isinstance(each, Document)] == ["3", "4"]


def test_names_of_older_programs_are_read(tmp_path: Path):
    """GBK without a mark; a name that leads out is refused under that name."""
    path = tmp_path / "a.zip"
    path.write_bytes(zipped(aaaa_txt=b"words").replace(b"aaaa.txt", "合同".encode("gbk") + b".txt"))
    assert texts(path) == {"a.zip/合同.txt": "words"}
    path.write_bytes(zipped(xx__a_txt=b"words").replace(b"xx/a.txt", b"../a.txt"))
    assert Refused(id="a.zip/../a.txt", reason="its name leads out of the archive") in parsed(path)


def test_many_members_refused_alike_are_counted(tmp_path: Path):
    """Twenty by name, the rest as a number: an archive of links must not fill the rejects file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number in range(50):
            info = tarfile.TarInfo(f"{number}.txt")
            info.type, info.linkname = tarfile.SYMTYPE, "x"
            archive.addfile(info)
    path = tmp_path / "a.tar"
    path.write_bytes(stream.getvalue())
    refused = [each for each in parsed(path) if isinstance(each, Refused)]
    assert len(refused) == 21
    assert refused[-1] == Refused(id="a.tar", reason="30 more members: it is a link")


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.pdf", b"%PDF-1.7\n", formats.PDF),
        ("a.pdf", b"<!DOCTYPE html><html>", formats.HTML),
        ("a.pdf", b"\xef\xbb\xbf\n<html lang=en>", formats.HTML),
        ("a.html", "<!doctype html>".encode("utf-16"), formats.HTML),
        ("a.html", b"\0\1junk%PDF-1.4", formats.PDF),
        ("a.md", b"<html> is how a page begins; %PDF- a PDF file", formats.TEXT),
        ("a.php", b"<!doctype html><?php echo 1;", formats.CODE),
        ("a.xml", b"<?xml version='1.0'?><html xmlns='x'>", formats.HTML),
        ("a.xml", b"<?xml version='1.0'?><rules/>", formats.XML),
        ("a.eml", b"From a@b Mon Mar  2 10:00:00 2026\nFrom: a@b\n", formats.MBOX),
        ("a.mbox", b"From: a@b\nTo: c@d\nSubject: x\n\n", formats.EML),
        ("mail", b"From: a@b\nTo: c@d\nSubject: x\n\n", formats.EML),
        ("book", b'{"cells": [], "nbformat": 4}', formats.NOTEBOOK),
        ("a.rst", b"From: a@b\nTo: c@d\nSubject: x\n\n", formats.RST),
        ("a.docx", zipped(_Content_Types__xml=b"", a_txt=b"x"), formats.ZIP),
    ],
)
def test_content_decides_then_the_ending(tmp_path: Path, name: str, content: bytes, found: Format):
    """A text format has no mark of its own, and may quote another's."""
    path = tmp_path / name
    path.write_bytes(content)
    if format_of_name(name) is None and found is formats.CODE:
        pytest.skip("no ending of source code is known yet")
    assert find_format(path, name) is found


def test_zip_formats_are_told_apart_by_their_members(tmp_path: Path):
    """Whatever the ending."""
    for members, found in (
        ({"[Content_Types].xml": b"", "word/document.xml": b""}, formats.DOCX),
        ({"[Content_Types].xml": b"", "xl/workbook.xml": b""}, formats.XLSX),
        ({"[Content_Types].xml": b"", "ppt/presentation.xml": b""}, formats.PPTX),
        ({"mimetype": b"application/epub+zip"}, formats.EPUB),
        ({"META-INF/container.xml": b""}, formats.EPUB),
        ({"readme.txt": b""}, formats.ZIP),
    ):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        assert find_format(path, "a.zip") is found


def test_files_without_a_known_ending_are_guessed_by_strong_marks(tmp_path: Path):
    """A program's own ZIP archive is no archive of documents."""
    for name, content, found in (
        ("report", b"%PDF-1.7", formats.PDF),
        ("report.bak", b"%PDF-1.7", formats.PDF),
        ("bundle", zipped(a_txt=b""), formats.ZIP),
        ("tool.jar", zipped(a_txt=b""), None),
        ("notes", b"plain words", None),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert guess_format(str(path), has_ending="." in name) is found
    assert guess_format(str(tmp_path), has_ending=False) is None
    assert guess_format(str(tmp_path / "missing"), has_ending=False) is None


def test_a_format_without_its_library_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As one sentence."""
    monkeypatch.setattr("winnow.indexer.readers.formats.find_spec", lambda name: None if name == "lxml" else object())
    path = tmp_path / "a.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", b"")
        archive.writestr("word/document.xml", b"")
    (ended,) = (each for each in parsed(path) if isinstance(each, Ended))
    assert ended.reason == "reading Word needs lxml; run: pip install 'winnow-search[documents]'"


def test_endings_belong_to_one_format():
    """In lower case, and found again."""
    endings = [ending for each in FORMATS for ending in each.endings]
    assert len(endings) == len(set(endings))
    assert endings == [ending.lower() for ending in endings]
    assert all(format_of_name(f"A{ending.upper()}") is each for each in FORMATS for ending in each.endings)
    assert ending_of("x.2024.pdf") == ".pdf"
    assert ending_of("x.tar.gz") == ".tar.gz"
    assert ending_of("x.txt.gz") == ".gz"
