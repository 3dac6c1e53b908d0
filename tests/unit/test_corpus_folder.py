"""Folders of text: every file one document, named by its path; titles from Markdown headings."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexer.corpus import Entry, Record, Reject, checked
from indexer.folder import FolderCorpus, markdown_title
from retrieval.errors import CorpusUnreadable
from retrieval.limits import RECORD_BYTES_MAX
from retrieval.records import Document


def filled(folder: Path, **files: bytes) -> FolderCorpus:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return FolderCorpus(root=folder)


def entries(corpus: FolderCorpus) -> list[Entry]:
    return list(checked(corpus.entries()))


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
        Document(id="a.markdown", text="no heading"),
        Document(id="a/A.TXT", text="upper"),
        Document(id="a/deep/z.md", text="# 标题\n正文", title="标题"),
        Document(id="b.txt", text="b"),
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
        ("bad.txt", "bad.txt", "not UTF-8: invalid start byte at byte 1"),
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


@pytest.mark.parametrize(
    ("markdown", "title"),
    [
        ("text\n\n## Second level ##\n# First", "Second level"),
        ("# Learn C#", "Learn C#"),
        ("#hashtag\n# Heading", "Heading"),
        ("Underlined\n==========\n", "Underlined"),
        ("Also underlined\n---", "Also underlined"),
        ("text\n\n---\n\n# After a rule", "After a rule"),
        ("```sh\n# a comment\n```\n# Heading", "Heading"),
        ("~~~~\n# a comment\n~~~\n# still code\n~~~~\n# Heading", "Heading"),
        ('---\ntitle: "From the front"\ndate: 2020\n---\n# Heading', "From the front"),
        ("---\ndate: 2020\n---\n# Heading", "Heading"),
        ("---\nnot closed\n# Heading", "Heading"),
        ("#   \ntext", ""),
        ("plain", ""),
        ("", ""),
    ],
)
def test_the_title_of_markdown(markdown: str, title: str):
    """Front matter, then the first heading outside of code."""
    assert markdown_title(markdown) == title
