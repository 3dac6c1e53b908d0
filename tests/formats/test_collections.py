"""The same 2,000 records go in with equal ids and texts, whatever collection of the field holds them."""

from __future__ import annotations

import csv
import gzip
import html
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.indexer.corpus import Record, check_entries
from winnow.indexer.readers.open_corpus import Reading, check, open_corpus
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest

COUNT = 2_000
Rows: TypeAlias = Sequence[tuple[str, str]]
WORDS = (
    "refund",
    "invoice",
    '"quoted"',
    "a<b",
    "&amp;",
    "it's",
    "发票",
    "退款。",
    "naïve",
    "x;y|z,w",
    "1e5",
    "\\n",
    "—",
)


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Ids and texts; no text has a tab, a line end or blanks at its ends, which MS MARCO cannot hold."""
    chance = random.Random(20)
    return [(str(number * 7 + 1), " ".join(chance.choices(WORDS, k=chance.randint(2, 30)))) for number in range(COUNT)]


def write_lines(path: Path, rows: Rows, id_: str = "id", text: str = "text") -> Path:
    path.write_text("".join(f"{json.dumps({id_: key, text: value})}\n" for key, value in rows), encoding="utf-8")
    return path


def jsonl(folder: Path, rows: Rows) -> Path:
    path = write_lines(folder / "a.jsonl", rows, "docid", "contents")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    return path


def json_array(folder: Path, rows: Rows) -> Path:
    (folder / "a.json").write_text(
        json.dumps([{"_id": key, "body": text} for key, text in rows], indent=1), encoding="utf-8"
    )
    return folder / "a.json"


def table(delimiter: str, name: str) -> Callable[[Path, Rows], Path]:
    def write(folder: Path, rows: Rows) -> Path:
        with (folder / name).open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, delimiter=delimiter).writerows([("doc_id", "passage"), *rows])
        return folder / name

    return write


def columns(rows: Rows) -> pa.Table:
    return pa.table({"ID": [int(key) for key, _ in rows], "Content": [text for _, text in rows]})


def parquet(folder: Path, rows: Rows) -> Path:
    pq.write_table(columns(rows), folder / "a.parquet", row_group_size=300)
    return folder / "a.parquet"


def parquet_shards(folder: Path, rows: Rows) -> Path:
    (folder / "data").mkdir()
    (folder / "README.md").write_text("About.", encoding="utf-8")
    (folder / "_SUCCESS").touch()
    for number, start in enumerate(range(0, COUNT, 700)):
        pq.write_table(columns(rows[start : start + 700]), folder / "data" / f"train-{number:05}-of-00003.parquet")
    return folder


def arrow_file(folder: Path, rows: Rows) -> Path:
    content = columns(rows)
    with pa.OSFile(str(folder / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content, max_chunksize=300)
    return folder / "a.arrow"


def write_stream(path: Path, content: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, content.schema) as writer:
        writer.write_table(content, max_chunksize=1_000)


def hugging_face(folder: Path, rows: Rows) -> Path:
    """As `save_to_disk` of datasets 4 writes a dictionary of splits."""
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}', encoding="utf-8")
    for split, share in (("train", rows[:1_500]), ("test", rows[1_500:])):
        below = folder / split
        below.mkdir()
        half = len(share) // 2
        names = [f"data-{number:05}-of-00002.arrow" for number in range(2)]
        write_stream(below / names[0], columns(share[:half]))
        write_stream(below / names[1], columns(share[half:]))
        state = {"_data_files": [{"filename": name} for name in names], "_split": split, "_fingerprint": "f"}
        (below / "state.json").write_text(json.dumps(state), encoding="utf-8")
        (below / "dataset_info.json").write_text("{}", encoding="utf-8")
    return folder


def ms_marco(folder: Path, rows: Rows) -> Path:
    lines = "".join(f"{key}\t{text}\n" for key, text in rows)
    (folder / "collection.tsv.gz").write_bytes(gzip.compress(lines.encode()))
    return folder / "collection.tsv.gz"


def pyserini(folder: Path, rows: Rows) -> Path:
    for number, start in enumerate(range(0, COUNT, 800)):
        write_lines(folder / f"docs{number:02}.json", rows[start : start + 800], text="contents")
    packed = folder / "docs02.json"
    (folder / "docs02.json.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    return folder


def trec(folder: Path, rows: Rows) -> Path:
    def written(share: Rows) -> str:
        return "".join(
            f"<DOC>\n<DOCNO> {key} </DOCNO>\n<TEXT>\n{html.escape(text, quote=False)}\n</TEXT>\n</DOC>\n"
            for key, text in share
        )

    (folder / "disk1").mkdir()
    (folder / "disk1" / "WSJ_0401.gz").write_bytes(gzip.compress(written(rows[:900]).encode()))
    (folder / "disk1" / "WSJ_0402").write_text(written(rows[900:]), encoding="utf-8")
    return folder


WRITERS: dict[str, Callable[[Path, Rows], Path]] = {
    "JSON lines": jsonl,
    "JSON": json_array,
    "CSV": table(",", "a.csv"),
    "TSV": table("\t", "a.tsv"),
    "Parquet": parquet,
    "Parquet shards": parquet_shards,
    "Arrow": arrow_file,
    "Hugging Face": hugging_face,
    "MS MARCO": ms_marco,
    "pyserini": pyserini,
    "TREC": trec,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS.keys())
def test_every_collection_has_the_same_documents(
    tmp_path: Path, rows: Rows, write: Callable[[Path, Rows], Path]
) -> None:
    """In order, with positions that rise to the corpus's size, and no reject; names are recognised."""
    corpus = open_corpus(str(write(tmp_path, rows)))
    check(corpus)
    entries = list(check_entries(corpus.entries()))
    assert [(entry.document.id, entry.document.text) for entry in entries if isinstance(entry, Record)] == rows
    positions = [entry.position for entry in entries]
    assert positions == sorted(positions)
    assert corpus.size is not None
    assert 0 < positions[-1] <= corpus.size
    places = {str(entry.place) for entry in entries}
    assert len(places) == COUNT
    assert corpus.account().notes or write is trec


def test_splits_are_chosen(tmp_path: Path, rows: Rows) -> None:
    """By name, in the data set's order; the note says which were read, and what there is to choose from."""
    folder = hugging_face(tmp_path, rows)
    both = open_corpus(str(folder))
    assert both.account().notes[0].endswith("splits train, test (all; --split NAME chooses).")
    test = open_corpus(str(folder), Reading(splits=("test",)))
    assert [entry.document.id for entry in test.entries() if isinstance(entry, Record)] == [
        key for key, _ in rows[1_500:]
    ]
    with pytest.raises(InvalidRequest, match="has no split 'dev'; it has train, test"):
        open_corpus(str(folder), Reading(splits=("dev",)))
    with pytest.raises(InvalidRequest, match="--split applies to data sets of Hugging Face"):
        open_corpus(str(jsonl(tmp_path, rows[:1])), Reading(splits=("test",)))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"_data_files": [{"filename": "../secret.arrow"}]}, "names no data files"),
        ({"_data_files": []}, "names no data files"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "gone.arrow"),
        ({"_data_files": [{"filename": "a.arrow"}], "_indices_data_files": [{"filename": "i"}]}, "by an index"),
    ],
)
def test_a_data_set_that_cannot_be_read_is_refused(tmp_path: Path, state: object, said: str) -> None:
    """A state file is not trusted to name files elsewhere."""
    (tmp_path / "dataset_info.json").write_text("{}", encoding="utf-8")
    (tmp_path / "state.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(CorpusUnreadable, match=said):
        check(open_corpus(str(tmp_path)))


def test_a_mixed_folder_is_no_corpus_of_shards(tmp_path: Path, rows: Rows) -> None:
    """Nor is one whose records have no id and text: its files are documents, as in every folder."""
    write_lines(tmp_path / "a.jsonl", rows[:2])
    (tmp_path / "notes.txt").write_text("A note.", encoding="utf-8")
    assert "notes.txt" in [
        entry.document.id for entry in open_corpus(str(tmp_path)).entries() if isinstance(entry, Record)
    ]
    (tmp_path / "notes.txt").unlink()
    write_lines(tmp_path / "a.jsonl", rows[:2], id_="key")
    assert type(open_corpus(str(tmp_path))).__name__ == "FolderCorpus"


def test_damage_in_a_trec_file_costs_its_document(tmp_path: Path) -> None:
    """No id, no end, no UTF-8, no text: each a reject with its line; the rest goes in, with title and metadata."""
    path = tmp_path / "AP8802"
    path.write_bytes(
        b"<DOC>\n<DOCNO> A-1 </DOCNO>\n<HEAD>One &amp; two</HEAD>\n<BYLINE>By \xc3\x84.</BYLINE>\n"
        b"<TEXT><P>first</P>\n</TEXT>\n<TEXT>second</TEXT></DOC><DOC>\n<TEXT>no id</TEXT></DOC>\n"
        b"<DOC><DOCNO>A-3</DOCNO><TEXT>no end \xc3\xa9</TEXT>\n"
        b"<DOC><DOCNO>A-4</DOCNO><TEXT>caf\xc3\xa9 caf\xff</TEXT></DOC>\n"
        b"<doc><docno>A-5</docno>bare <b>text</b></doc>\n"
        b"<DOC><DOCNO>A-6</DOCNO><TEXT></TEXT></DOC>\n"
    )
    entries = list(check_entries(open_corpus(str(path)).entries()))
    found = [
        (entry.place.line, entry.document.id if isinstance(entry, Record) else entry.reason.partition(":")[0])
        for entry in entries
    ]
    assert found == [
        (1, "A-1"), (7, "no id (element DOCNO)"), (9, "the document has no </DOC>"), (10, "not UTF-8"), (11, "A-5"),
        (12, "no text"),
    ]  # fmt: skip
    first = entries[0]
    assert isinstance(first, Record)
    assert (first.document.title, first.document.text) == ("One & two", "first\n\nsecond")
    assert first.document.metadata == {"byline": "By Ä."}
    path.write_bytes(b"<DOC><DOCNO>A-1</DOCNO><TEXT>cut off")
    with pytest.raises(CorpusUnreadable, match="ends within the document of line 1"):
        list(open_corpus(str(path)).entries())
    path.write_bytes(b"\x1f\x9d<DOC>")
    with pytest.raises(CorpusUnreadable, match="packed by `compress`"):
        open_corpus(str(path))
