"""Tables without a header: MS MARCO's two layouts, or columns that the caller names."""

from __future__ import annotations

from pathlib import Path

import pytest

from winnow.indexer.corpus import Record
from winnow.indexer.readers.open_corpus import Reading, open_corpus
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest
from winnow.retrieval.records import Document


def read(path: Path, content: str, columns: tuple[str, ...] | None = None) -> tuple[list[Document], str]:
    path.write_text(content, encoding="utf-8")
    corpus = open_corpus(str(path), Reading(columns=columns))
    documents = [entry.document for entry in corpus.entries() if isinstance(entry, Record)]
    return documents, corpus.account().notes[0]


def test_passages_of_ms_marco(tmp_path: Path) -> None:
    """The first line is a passage; a quote that never closes is text."""
    documents, note = read(tmp_path / "collection.tsv", '0\t"The presence\n1\tof communication, "amid"\n')
    assert documents == [Document(id="0", text='"The presence'), Document(id="1", text='of communication, "amid"')]
    assert "no header; the columns are pid, text, as in MS MARCO; quotes are text. Use --columns" in note


def test_documents_of_ms_marco(tmp_path: Path) -> None:
    """Id, address, title and body."""
    documents, note = read(tmp_path / "docs.tsv", "D1\thttps://a.example/\tTitle\tBody \nD2\thttps://b.example/\t\tB\n")
    assert documents == [
        Document(id="D1", url="https://a.example/", title="Title", text="Body "),
        Document(id="D2", url="https://b.example/", text="B"),
    ]
    assert "docid, url, title, body" in note


@pytest.mark.parametrize(
    "content",
    ["name\tnote\n1\tx\n", "1\tx\n1\ty\n", "1\tx\n2\n", "1\t2\n3\t4\n", "1\ta\tb\tc\n", "1\tx\ty\n"],
    ids=["names", "an id twice", "one column", "numbers only", "no address", "three columns"],
)
def test_what_is_not_clearly_ms_marco_is_refused(tmp_path: Path, content: str) -> None:
    """A table of another kind must not be indexed with its first row as a document."""
    with pytest.raises(CorpusUnreadable, match=r"--id-field NAME|--text-field NAME"):
        read(tmp_path / "a.tsv", content)


def test_the_caller_names_the_columns(tmp_path: Path) -> None:
    """Of a file with any delimiter; the first row is a document, and types are found as ever."""
    documents, note = read(tmp_path / "a.csv", 'x;"a\nb";2020\n', ("id", "text", "year"))
    assert documents == [Document(id="x", text="a\nb", metadata={"year": 2020})]
    assert note.startswith("a.csv: separated by semicolons; no header; the columns are id, text, year; number: year")
    assert read(tmp_path / "a.tsv", 'x\t"a\n', ("id", "text"))[0] == [Document(id="x", text='"a')]
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(InvalidRequest, match="--columns applies to a CSV or TSV file"):
        open_corpus(str(tmp_path / "a.jsonl"), Reading(columns=("id",)))
