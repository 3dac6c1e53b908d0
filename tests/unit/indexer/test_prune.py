"""Absence is never inferred from an incomplete reading: what each of the real readers cannot read counts."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pytest

from winnow.indexer.batches import WindowBound, make_steps
from winnow.indexer.changes import Changes
from winnow.indexer.corpus import check_entries
from winnow.indexer.id_tables import KnownDocuments
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.retrieval.errors import CorpusUnreadable

KNOWN = dict.fromkeys(("a", "b", "c"), "hash")


def missed(corpus: Path) -> int:
    """How much of the corpus may hide a document that was not seen."""
    opened, changes = open_corpus(str(corpus)), Changes(KnownDocuments(KNOWN))
    for _ in make_steps(check_entries(opened.entries()), changes, WindowBound()):
        pass
    return changes.unidentified + len(opened.account().unread)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("whole.jsonl", b'{"id": "a", "text": "x"}\n{"id": "b", "text": "y"}\n', 0),
        ("utf8.jsonl", b'{"id": "a", "text": "x"}\n{"id": "b", "text": "\xff\xfe"}\n', 1),
        ("cut.jsonl", b'{"id": "a", "text": "x"}\n{"id": "b", "te', 1),
        ("no-id.jsonl", b'{"id": "a", "text": "x"}\n{"text": "y"}\n{"id": null, "text": "y"}\n', 2),
        ("blank-id.jsonl", b'{"id": "a", "text": "x"}\n{"id": "  ", "text": "y"}\n', 1),
        ("id-is-a-list.jsonl", b'{"id": "a", "text": "x"}\n{"id": ["b"], "text": "y"}\n', 1),
        ("no-text.jsonl", b'{"id": "a", "text": "x"}\n{"id": "b"}\n', 0),
        ("whole.csv", b"id,text\na,x\nb,y\n", 0),
        ("comma.csv", b"id,text\na,x\nb,y,z\n", 1),
        ("utf8.csv", b"id,text\na,x\nb,\xff\xfe\xff\n", 1),
    ],
)
def test_a_record_without_a_readable_id_is_missed(tmp_path: Path, name: str, content: bytes, expected: int) -> None:
    """One that has its id is not gone, and hides nothing."""
    (tmp_path / name).write_bytes(content)
    assert missed(tmp_path / name) == expected


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("cut", [1, 5, 9, 40])
@pytest.mark.parametrize("packed", [gzip.compress, zstd], ids=["gz", "zst"])
def test_a_compressed_file_that_ends_too_early_ends_the_run(tmp_path: Path, packed: object, cut: int) -> None:
    """Wherever it was cut, it is no shorter corpus: nothing after the error is reached, pruning neither."""
    assert callable(packed)
    lines = b"".join(b'{"id": "%d", "text": "%s"}\n' % (number, os.urandom(40).hex().encode()) for number in range(99))
    path = tmp_path / f"corpus.jsonl.{'gz' if packed is gzip.compress else 'zst'}"
    path.write_bytes(packed(lines)[:-cut])
    with pytest.raises(CorpusUnreadable):
        missed(path)


def test_a_folder_behind_a_broken_link_is_missed(tmp_path: Path) -> None:
    """A link is followed; where it leads to a disk that is not there now, its documents are not gone."""
    root, moved = tmp_path / "root", tmp_path / "moved"
    for folder in (root, moved):
        folder.mkdir()
        (folder / "a.txt").write_text("text")
    (root / "part").symlink_to(moved)
    (root / ".hidden").symlink_to(moved)
    assert missed(root) == 0
    assert len(list(open_corpus(str(root)).entries())) == 2
    moved.rename(tmp_path / "away")
    assert missed(root) == 1
