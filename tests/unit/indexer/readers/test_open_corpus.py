"""Which reader reads what: by the source's form, and an error where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from winnow.indexer.decoding.column_types import parse_types
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.folder import FolderCorpus
from winnow.indexer.readers.folder_walk import Choice
from winnow.indexer.readers.jsonl import JsonLinesCorpus
from winnow.indexer.readers.open_corpus import Reading, check, open_corpus
from winnow.indexer.readers.python_docs import PythonDocsCorpus
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest


def test_every_form_has_its_reader(tmp_path: Path):
    """The documentation scheme, the standard input, a BEIR folder, any other folder, a file of JSON lines."""
    beir = tmp_path / "beir"
    beir.mkdir()
    (beir / "corpus.jsonl.gz").touch()
    lines = tmp_path / "my.corpus.ndjson.zst"
    lines.touch()
    assert open_corpus("python-docs:") == PythonDocsCorpus()
    assert open_corpus("python-docs:json") == PythonDocsCorpus(package="json")
    assert open_corpus("-") == JsonLinesCorpus(path=Path("-"), fields=Fields())
    assert open_corpus(str(beir)) == JsonLinesCorpus(path=beir / "corpus.jsonl.gz", fields=Fields())
    assert open_corpus(str(tmp_path)) == FolderCorpus(root=tmp_path)
    assert open_corpus(str(lines)) == JsonLinesCorpus(path=lines, fields=Fields())


def test_named_fields_win(tmp_path: Path):
    """Flags hold for a BEIR folder too."""
    (tmp_path / "corpus.jsonl").touch()
    fields = Fields(id="key")
    assert open_corpus(str(tmp_path), Reading(fields=fields)) == JsonLinesCorpus(
        path=tmp_path / "corpus.jsonl", fields=fields
    )


def test_what_cannot_be_read_is_said(tmp_path: Path):
    """A path that is not there, and a file of another kind."""
    (tmp_path / "paper.odt").touch()
    with pytest.raises(CorpusUnreadable, match="no such file or folder"):
        open_corpus(str(tmp_path / "missing"))
    with pytest.raises(CorpusUnreadable, match="cannot be read"):
        open_corpus(str(tmp_path / "paper.odt"))


@pytest.mark.parametrize(
    ("name", "reading", "said"),
    [
        ("x.jsonl", Reading(choice=Choice(include=("*.md",))), "--include and --exclude applies to files of a folder"),
        ("x.jsonl", Reading(types=parse_types(["text"])), "--types applies to columns of a CSV file; x.jsonl has none"),
        ("x.parquet", Reading(encoding="gb18030"), "--encoding applies to text"),
    ],
)
def test_what_does_not_fit_the_corpus_is_refused(tmp_path: Path, name: str, reading: Reading, said: str):
    """And not passed over in silence."""
    (tmp_path / name).touch()
    with pytest.raises(InvalidRequest, match=said):
        open_corpus(str(tmp_path / name), reading)


@pytest.mark.parametrize(
    ("name", "content"), [("x.csv", b"id,year\n"), ("x.csv", b""), ("x.parquet", b"PAR"), ("missing/", b"")]
)
def test_a_check_reads_what_tells_that_it_cannot_be_read(tmp_path: Path, name: str, content: bytes):
    """Before models are loaded, and a collection is made."""
    if name.endswith("/"):
        (tmp_path / "folder").mkdir()
        corpus = open_corpus(str(tmp_path / "folder"))
        (tmp_path / "folder").rmdir()
    else:
        (tmp_path / name).write_bytes(content)
        corpus = open_corpus(str(tmp_path / name))
    with pytest.raises(CorpusUnreadable):
        check(corpus)
