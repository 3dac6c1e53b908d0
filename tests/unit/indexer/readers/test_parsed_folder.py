"""Folders with files that are parsed in another process: every file in exactly one count, every document once."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import pytest

from winnow.indexer.changes import Changes
from winnow.indexer.corpus import Entry, Record, Reject, check_entries
from winnow.indexer.id_tables import KnownDocuments
from winnow.indexer.readers.folder import FolderCorpus
from winnow.indexer.readers.folder_walk import Choice
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.retrieval.errors import CorpusUnreadable


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    made = tmp_path / "folder"
    made.mkdir()
    with zipfile.ZipFile(made / "b.zip", "w") as archive:
        archive.writestr("one.txt", "one")
        archive.writestr("../two.txt", "two")
        archive.writestr("three.md", "# Three\nwords")
        archive.writestr("four.png", "x")
    (made / "a.txt").write_text("a", encoding="utf-8")
    (made / "c.txt").write_text("c", encoding="utf-8")
    (made / "broken.zip").write_bytes(b"PK\3\4 and nothing more")
    (made / "photo.png").touch()
    return made


def read(corpus: FolderCorpus) -> list[Entry]:
    return list(check_entries(corpus.entries()))


def test_a_file_with_several_documents_and_rejects_is_one_file(folder: Path):
    """In order of path; positions count files."""
    corpus = FolderCorpus(root=folder)
    entries = read(corpus)
    told = [
        (each.position, each.document.id if isinstance(each, Record) else f"rejected {each.id}") for each in entries
    ]
    assert told == [
        (1, "a.txt"),
        (2, "b.zip/one.txt"),
        (2, "rejected b.zip/../two.txt"),
        (2, "b.zip/three.md"),
        (3, "rejected broken.zip"),
        (4, "c.txt"),
    ]
    account = corpus.account()
    assert account.files is not None
    assert (account.files.found, account.files.read, account.files.not_read) == (5, 4, {".png": 1})
    assert account.files.formats == {"Plain text and Markdown": 2, "ZIP archive": 2}
    assert account.notes == ("In archives, files of other types were not read: .png 1.",)
    assert read(corpus) == entries  # the same at every reading
    assert list((folder.parent / "scratch").iterdir()) == []


def test_a_missing_library_is_one_sentence_for_all_its_files(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """They are not read, and not taken for removed."""
    for number in range(30):
        (folder / f"{number}.docx").touch()
    monkeypatch.setattr(
        "winnow.indexer.readers.formats.missing_libraries", lambda each: ("lxml",) * (each.name == "docx")
    )
    corpus = FolderCorpus(root=folder)
    assert len(read(corpus)) == 6
    account = corpus.account()
    assert account.files is not None
    assert account.files.not_read == {".docx": 30, ".png": 1}
    assert (
        "30 Word files were not read: lxml is not installed. Run: pip install 'winnow-search[documents]'"
        in account.notes
    )
    assert account.unread == ("30 Word files",)
    with pytest.raises(CorpusUnreadable, match=r"0\.docx' cannot be read\. 1 Word file"):
        open_corpus(str(folder / "0.docx"))


def test_a_place_names_the_file_also_where_its_name_has_a_hash(folder: Path):
    """Not the id, which continues behind one."""
    (folder / "C#").mkdir()
    (folder / "b.zip").rename(folder / "C#" / "b#1.zip")
    places = {each.place.source for each in read(FolderCorpus(root=folder, choice=Choice(include=("C#/",))))}
    assert places == {"C#/b#1.zip/one.txt", "C#/b#1.zip/three.md", "C#/b#1.zip/../two.txt"}


def test_a_single_archive_is_a_corpus(folder: Path):
    """Its name begins the ids."""
    entries = list(open_corpus(str(folder / "b.zip")).entries())
    assert [each.document.id for each in entries if isinstance(each, Record)] == ["b.zip/one.txt", "b.zip/three.md"]


def test_a_stopped_reading_raises(folder: Path):
    """And a later one begins again."""
    corpus = FolderCorpus(root=folder)
    entries = corpus.entries()
    next(entries), next(entries)
    corpus.stop()
    with pytest.raises(CorpusUnreadable, match="reading was stopped"):
        list(entries)
    assert len(read(corpus)) == 6


def test_documents_of_a_broken_file_are_not_gone():
    """Those that it held at an earlier run; others with a similar name are."""
    known = ("a.zip/x.txt", "a.zip/in/y.txt", "m.mbox#1", "a.zipper", "b.zip/x.txt", "m.mbox")
    changes = Changes(KnownDocuments(dict.fromkeys(known, "hash")))
    changes.keep("a.zip", holds_more=True)
    changes.keep("m.mbox", holds_more=True)
    assert list(changes.removed()) == ["a.zipper", "b.zip/x.txt"]
    assert changes.removed_count == 2


def test_a_reject_of_a_parsed_file_holds_more(folder: Path):
    """A plain text file does not."""
    rejects = {each.id: each.holds_more for each in read(FolderCorpus(root=folder)) if isinstance(each, Reject)}
    assert rejects == {"b.zip/../two.txt": True, "broken.zip": True}
