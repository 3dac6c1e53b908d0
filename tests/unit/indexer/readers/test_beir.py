"""BEIR folders: both layouts, compressed or not, with judgments of both column orders."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.indexer.corpus import Record
from winnow.indexer.readers.beir import read_qrels, read_queries
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import Document

CORPUS = '{"_id": "d1", "title": "题", "text": "正文", "metadata": {"year": 2020}}\n'.encode()
QUERIES = '{"_id": "q1", "text": "问题"}\n\n{"_id": 2, "text": "second"}\n'.encode()
QRELS = b"query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n2\td1\t1\n"
JUDGED = {"q1": {"d1": 2, "d2": 0}, "2": {"d1": 1}}


def write(folder: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder


LAYOUTS = {
    "published": {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, "qrels/test.tsv": QRELS},
    "flat and compressed": {"corpus.jsonl.gz": CORPUS, "queries.jsonl.gz": QUERIES, "qrels.tsv.gz": QRELS},
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_both_layouts_are_read(tmp_path: Path, files: dict[str, bytes]):
    """What BEIR publishes, and the flat form with one set of judgments."""
    folder = write(tmp_path, **files)
    (entry,) = open_corpus(str(folder)).entries()
    assert isinstance(entry, Record)
    assert entry.document == Document(id="d1", title="题", text="正文", metadata={"year": 2020})
    assert read_queries(folder) == {"q1": "问题", "2": "second"}
    assert read_qrels(folder) == JUDGED


def test_a_split_is_chosen(tmp_path: Path):
    """qrels/{split}.tsv wins over qrels.tsv."""
    folder = write(tmp_path, **{"qrels/dev.tsv": b"q\td\t1\n", "qrels.tsv": QRELS})
    assert read_qrels(folder, "dev") == {"q": {"d": 1}}
    assert read_qrels(folder) == JUDGED


def test_trec_judgments_are_read(tmp_path: Path):
    """Four columns without a header, separated by blanks."""
    folder = write(tmp_path, **{"qrels.tsv": b"q1 0 d1 2\nq1 0 d2 0\r\n2 0 d1 1"})
    assert read_qrels(folder) == JUDGED


@settings(deadline=None)
@given(
    judged=st.dictionaries(
        st.text(" ab题#/-", min_size=1, max_size=6),
        st.dictionaries(st.text(" ab题#/-0", min_size=1, max_size=6), st.integers(-2, 3), min_size=1, max_size=3),
        min_size=1,
        max_size=4,
    ),
    is_trec=st.booleans(),
    ends=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_ids_with_blanks_are_kept_between_tabs(
    judged: dict[str, dict[str, int]], ends: str, mark: str, *, is_trec: bool
) -> None:
    """In BEIR's columns and in TREC's: what was written is what is read."""
    rows = [(query, document, str(grade)) for query, grades in judged.items() for document, grade in grades.items()]
    lines = ["\t".join((query, "0", *rest) if is_trec else (query, *rest)) for query, *rest in rows]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "qrels.tsv").write_bytes((mark + ends.join(lines) + ends).encode())
        assert read_qrels(Path(folder)) == judged


def test_trec_columns_may_be_aligned_with_any_blanks(tmp_path: Path) -> None:
    """Several blanks, tabs beside blanks, blanks before the line: as trec_eval reads it."""
    folder = write(tmp_path, **{"qrels.tsv": b"q1   0  d1   2\n  q1 0 d2\t0\n2 0 \td1 1\n"})
    assert read_qrels(folder) == {"q1": {"d1": 2, "d2": 0}, "2": {"d1": 1}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"q\td\t1\nq\td\tx\n", "line 2: the grade 'x' is not a whole number"),
        (b"q\td\t1\nq\t1\n", "line 2: 2 columns"),
        (b"q\td\t1\n\xff\n", "line 2: not UTF-8"),
    ],
)
def test_a_bad_judgment_is_an_error(tmp_path: Path, content: bytes, message: str):
    """A measure over half the judgments would be a wrong number: nothing is skipped."""
    with pytest.raises(CorpusUnreadable, match=message):
        read_qrels(write(tmp_path, **{"qrels.tsv": content}))


@pytest.mark.parametrize("line", [b"{}", b"[]", b"{", b'{"_id": "q"}', b'{"_id": "q", "text": 1}'])
def test_a_bad_query_is_an_error(tmp_path: Path, line: bytes):
    """For the same reason, with its line."""
    with pytest.raises(CorpusUnreadable, match="line 2"):
        read_queries(write(tmp_path, **{"queries.jsonl": b'{"_id": "q", "text": "t"}\n' + line}))


def test_missing_files_are_named(tmp_path: Path):
    """A folder without judgments says which file it lacks."""
    with pytest.raises(CorpusUnreadable, match=r"qrels\.tsv"):
        read_qrels(tmp_path)
    with pytest.raises(CorpusUnreadable, match=r"queries\.jsonl"):
        read_queries(tmp_path)
