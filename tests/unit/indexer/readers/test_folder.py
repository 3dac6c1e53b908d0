"""Folders of text: every file one document, named by its path; titles from Markdown headings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from winnow.indexer.corpus import Entry, Record, Reject, check_entries
from winnow.indexer.readers.folder import FileCorpus, FolderCorpus
from winnow.indexer.readers.folder_walk import Choice
from winnow.indexer.readers.open_corpus import Reading, open_corpus
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.limits import RECORD_BYTES_MAX
from winnow.retrieval.records import Document, Location, Part


def filled(folder: Path, **files: bytes) -> FolderCorpus:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return FolderCorpus(root=folder)


def of_lines(document_id: str, text: str, title: str = "") -> Document:
    """A document of one part, whose lines are counted from 1."""
    parts = (Part(start=0, end=len(text), location=Location(line=1)),)
    return Document(id=document_id, text=text, title=title, parts=parts)


def entries(corpus: FolderCorpus) -> list[Entry]:
    return list(check_entries(corpus.entries()))


def test_files_become_documents_in_order_of_path(tmp_path: Path):
    """The id is the path within the folder, with slashes on every system; other files are passed over."""
    corpus = filled(
        tmp_path,
        **{
            "b.txt": b"b",
            "a/deep/z.md": "# 标题\n正文".encode(),
            "a/A.TXT": b"upper",
            "a.markdown": b"no heading",
            "image.png": b"\x89PNG",
            ".hidden.txt": b"x",
            ".git/config.txt": b"x",
        },
    )
    assert [entry.document for entry in entries(corpus) if isinstance(entry, Record)] == [
        of_lines("a.markdown", "no heading"),
        of_lines("a/A.TXT", "upper"),
        of_lines("a/deep/z.md", "# 标题\n正文", title="标题"),
        of_lines("b.txt", "b"),
    ]
    assert [entry.position for entry in entries(corpus)] == [1, 2, 3, 4]
    assert corpus.size == 4


def test_bad_files_are_named_and_the_rest_goes_in(tmp_path: Path):
    """Not UTF-8, blank, too long: each is a reject with its path."""
    corpus = filled(tmp_path, **{"bad.txt": b"a\xffb", "blank.md": b" \n", "good.txt": b"good", "long.txt": b""})
    with (tmp_path / "long.txt").open("wb") as stream:
        stream.truncate(RECORD_BYTES_MAX + 1)
    rejects = [entry for entry in entries(corpus) if isinstance(entry, Reject)]
    assert [(reject.id, reject.place.source, reject.reason) for reject in rejects] == [
        ("bad.txt", "bad.txt", "not UTF-8: invalid start byte at byte 1; specify the encoding with --encoding NAME"),
        ("blank.md", "blank.md", "no text"),
        ("long.txt", "long.txt", f"the file is longer than {RECORD_BYTES_MAX} bytes"),
    ]


def test_a_byte_order_mark_is_no_text(tmp_path: Path):
    """What some editors put first is not part of the document, and does not hide a heading."""
    (entry,) = entries(filled(tmp_path, **{"a.md": b"\xef\xbb\xbf# Title"}))
    assert isinstance(entry, Record)
    assert (entry.document.title, entry.document.text) == ("Title", "# Title")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path):
    """Nothing to read is not an empty corpus."""
    with pytest.raises(CorpusUnreadable, match="missing"):
        entries(FolderCorpus(root=tmp_path / "missing"))


def ids(folder: Path, **choice: tuple[str, ...]) -> list[str]:
    corpus = FolderCorpus(root=folder, choice=Choice(**choice))
    return [entry.document.id for entry in entries(corpus) if isinstance(entry, Record)]


def test_hidden_and_build_folders_are_left_out_and_counted(tmp_path: Path):
    """By the pattern that leaves them out; the last pattern that matches decides."""
    names = (
        "a.md",
        "build/b.md",
        "node_modules/x/c.md",
        "node_modules/x/d.js",
        ".git/e.md",
        ".f.md",
        "x.egg-info/g.txt",
    )
    corpus = filled(tmp_path, **dict.fromkeys(names, b"t"))
    files = corpus.account().files
    assert files is not None
    assert (files.found, files.read) == (7, 1)
    assert files.left_out == {"node_modules/": 2, ".*": 2, "build/": 1, "*.egg-info/": 1}
    assert ids(tmp_path) == ["a.md"]
    assert ids(tmp_path, exclude=("!build/", "!.*")) == [".f.md", ".git/e.md", "a.md", "build/b.md"]
    assert ids(tmp_path, exclude=("!build/", "build/b*")) == ["a.md"]


def test_include_and_exclude(tmp_path: Path):
    """Patterns of .gitignore: by name, by folder, anchored; several of them."""
    filled(tmp_path, **dict.fromkeys(("a.md", "b.txt", "docs/a.md", "docs/old/c.md", "z.pdf"), b"t"))
    assert ids(tmp_path, include=("*.md",)) == ["a.md", "docs/a.md", "docs/old/c.md"]
    assert ids(tmp_path, include=("/a.md", "*.txt")) == ["a.md", "b.txt"]
    assert ids(tmp_path, include=("docs/",), exclude=("old/",)) == ["docs/a.md"]
    files = FolderCorpus(root=tmp_path, choice=Choice(include=("docs/",))).account().files
    assert files is not None
    assert (files.found, files.read, files.not_included, files.not_read) == (5, 2, 3, {})


def test_linked_folders_are_followed_once(tmp_path: Path):
    """Into other folders; not around in a circle, not to what is read under another path, not upwards."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    filled(root, **{"a/x.md": b"x"})
    filled(outside, **{"deep/y.md": b"y"})
    (outside / "deep" / "round").symlink_to(outside)
    (root / "same").symlink_to(root / "a")
    (root / "up").symlink_to(tmp_path)
    (root / "out").symlink_to(outside)
    (root / "z-again").symlink_to(outside / "deep")
    (root / "file.md").symlink_to(outside / "deep" / "y.md")
    assert ids(root) == ["a/x.md", "file.md", "out/deep/y.md"]
    files = FolderCorpus(root=root).account().files
    assert files is not None
    assert (files.found, files.read, files.links_passed_over) == (3, 3, 4)


def test_what_is_no_file_is_rejected_unopened(tmp_path: Path):
    """A pipe that nobody writes to would be waited for without end; a link may lead nowhere."""
    filled(tmp_path, **{"good.txt": b"t"})
    os.mkfifo(tmp_path / "pipe.txt")
    os.mkfifo(tmp_path / "pipe.bin")
    (tmp_path / "nowhere.md").symlink_to(tmp_path / "missing")
    (tmp_path / "round.md").symlink_to(tmp_path / "round.md")
    corpus = FolderCorpus(root=tmp_path)
    rejects = {entry.place.source: entry.reason for entry in entries(corpus) if isinstance(entry, Reject)}
    assert rejects["pipe.txt"] == "a pipe, not a file; it was skipped"
    assert rejects["nowhere.md"].startswith("cannot be read: ")
    assert rejects["round.md"].startswith("cannot be read: ")
    files = corpus.account().files
    assert files is not None
    assert (files.found, files.read, files.not_read) == (5, 4, {".bin": 1})


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.parquet", "x.md", "63"])
def test_a_pipe_is_no_corpus(tmp_path: Path, name: str):
    """Refused with what to do, unopened."""
    os.mkfifo(tmp_path / name)
    with pytest.raises(CorpusUnreadable, match=r"is a pipe, not a file; .*`winnow index -`"):
        list(open_corpus(str(tmp_path / name)).entries())


def test_a_name_that_is_not_utf8_is_one_reject(tmp_path: Path):
    """With its bytes escaped; the others go in."""
    filled(tmp_path, **{"good.txt": b"t"})
    path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    with open(path, "wb") as stream:  # noqa: PTH123  a name of bytes
        stream.write(b"t")
    good, reject = sorted(entries(FolderCorpus(root=tmp_path)), key=lambda entry: isinstance(entry, Reject))
    assert isinstance(good, Record)
    assert isinstance(reject, Reject)
    assert (reject.place.source, reject.id) == ("caf\\xe9.txt", None)
    assert "not UTF-8" in reject.reason


def test_a_single_file_is_a_corpus(tmp_path: Path):
    """Its name is its id, in whatever case its ending is."""
    filled(tmp_path, **{"A.MD": b"# Title\ntext", "b.txt": b"text"})
    assert open_corpus(str(tmp_path / "A.MD")) == FileCorpus(path=tmp_path / "A.MD")
    (first,) = open_corpus(str(tmp_path / "A.MD")).entries()
    (second,) = open_corpus(str(tmp_path / "b.txt")).entries()
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert first.document == of_lines("A.MD", "# Title\ntext", title="Title")
    assert second.document == of_lines("b.txt", "text")


def test_encodings_of_a_folder_are_told_by_their_files(tmp_path: Path):
    """GBK and UTF-16 among UTF-8: read as what they are, and named."""
    text = "员工因病请假，须于当日上午九点前通知直属主管，并于返岗后三日内提交医院证明。"
    filled(
        tmp_path,
        **{
            "a.txt": text.encode(),
            "b.txt": text.encode("gbk"),
            "c.txt": text.encode("gbk"),
            "d.md": text.encode("utf-16"),
        },
    )
    corpus = FolderCorpus(root=tmp_path)
    assert {entry.document.text for entry in entries(corpus) if isinstance(entry, Record)} == {text}
    assert corpus.account().notes == (
        "Not UTF-8; read as gb18030 (detected): b.txt, c.txt. Use --encoding NAME if that is wrong.",
    )
    asked = open_corpus(str(tmp_path), Reading(encoding="gb18030"))
    assert {entry.document.text for entry in asked.entries() if isinstance(entry, Record)} == {text}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_says_how_to_leave_it_out(tmp_path: Path):
    """It may hold documents: passing over it in silence would lose them."""
    filled(tmp_path, **{"shut/a.md": b"t"})
    (tmp_path / "shut").chmod(0)
    with pytest.raises(CorpusUnreadable, match="exclude it with --exclude 'shut/'"):
        entries(FolderCorpus(root=tmp_path))
