"""JSON lines: good records become documents, each bad one is named with its line and reason, memory stays bounded."""

from __future__ import annotations

import gzip
import subprocess
import sys
import tracemalloc
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from winnow.indexer.corpus import Record, Reject, check_entries
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.jsonl import JsonLinesCorpus
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.limits import DOCUMENT_CHARACTERS_MAX, DOCUMENT_ID_CHARACTERS_MAX, RECORD_BYTES_MAX
from winnow.retrieval.records import Document

GOOD = b'{"id": "good", "text": "text"}'


def entries(path: Path, fields: Fields | None = None) -> list[Record | Reject]:
    return list(check_entries(JsonLinesCorpus(path=path, fields=fields or Fields()).entries()))


def documents(path: Path, fields: Fields | None = None) -> list[Document]:
    return [entry.document for entry in entries(path, fields) if isinstance(entry, Record)]


def written(folder: Path, *lines: bytes) -> Path:
    path = folder / "corpus.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_fields_become_a_document(tmp_path: Path):
    """The four named fields are taken, every other one is metadata."""
    line = '{"id": 7, "title": "标题", "text": "正文", "url": "https://example.org", "year": 2020, "tags": ["a"]}'
    assert documents(written(tmp_path, line.encode())) == [
        Document(id="7", title="标题", text="正文", url="https://example.org", metadata={"year": 2020, "tags": ["a"]})
    ]


def test_fields_can_be_named(tmp_path: Path):
    """--id-field and its kin say which field is which."""
    path = written(tmp_path, b'{"key": "k", "body": "b", "head": "h", "link": "l", "text": "not this"}')
    fields = Fields(id="key", text="body", title="head", url="link")
    assert documents(path, fields) == [Document(id="k", text="b", title="h", url="l", metadata={"text": "not this"})]


def test_nested_metadata_is_taken_apart(tmp_path: Path):
    """An object called metadata is the metadata; a field beside it wins; null is none."""
    path = written(
        tmp_path,
        b'{"id": "a", "text": "t", "metadata": {"year": 1, "kind": "x"}, "year": 2}',
        b'{"id": "b", "text": "t", "metadata": null}',
        b'{"id": "c", "text": "t", "metadata": "a word"}',
    )
    assert [document.metadata for document in documents(path)] == [
        {"year": 2, "kind": "x"}, {}, {"metadata": "a word"}
    ]  # fmt: skip


REFUSED = [
    (b'{"text": "t"}', "no id (field 'id')"),
    (b'{"id": "", "text": "t"}', "no id (field 'id')"),
    (b'{"id": null, "text": "t"}', "no id (field 'id')"),
    (b'{"id": "  ", "text": "t"}', "no id"),
    (b'{"id": ["a"], "text": "t"}', "the id (field 'id') must be a string, not an array"),
    (b'{"id": true, "text": "t"}', "the id (field 'id') must be a string, not a boolean"),
    (b'{"id": 1.5, "text": "t"}', "the id (field 'id') must be a string, not a number"),
    (b'{"id": "a\\nb", "text": "t"}', "the id contains control characters"),
    (
        b'{"id": "%s", "text": "t"}' % (b"x" * (DOCUMENT_ID_CHARACTERS_MAX + 1)),
        "the id has 513 characters; the limit is 512",
    ),
    (b'{"id": "a"}', "no text (field 'text')"),
    (b'{"id": "a", "text": null}', "no text (field 'text')"),
    (b'{"id": "a", "text": ""}', "no text"),
    (b'{"id": "a", "text": " \\u3000\\n"}', "no text"),
    (b'{"id": "a", "text": 5}', "field 'text' must be a string, not a number"),
    (b'{"id": "a", "text": ["t"]}', "field 'text' must be a string, not an array"),
    (b'{"id": "a", "text": {"t": 1}}', "field 'text' must be a string, not an object"),
    (b'{"id": "a", "text": "t", "title": 3}', "field 'title' must be a string, not a number"),
    (b'{"id": "a", "text": "t", "url": false}', "field 'url' must be a string, not a boolean"),
    (b'{"id": "a", "text": "t", "title": "%s"}' % (b"x" * 2049), "the title has 2049 characters; the limit is 2048"),
    (b'{"id": "a", "text": "%s"}' % (b"x" * (DOCUMENT_CHARACTERS_MAX + 1)), "the text has 4000001 characters"),
    (b'{"id": "a", "text": "t", "more": "%s"}' % (b"x" * 70_000), "the metadata has 70011 bytes; the limit is 65536"),
    (b'{"id": "a", "text": "\xff"}', "not UTF-8: invalid start byte at byte 21 of the line"),
    (b'{"id": "a", "text": "\\ud800"}', "not JSON: "),
    (b'{"id": "a", "text": "t"', "not JSON: "),
    (b'{"id": "a", "text": NaN}', "not JSON: "),
    (b"plain text", "not JSON: "),
    (b'["a", "t"]', "not a JSON object"),
    (b'"a"', "not a JSON object"),
    (b"[" * 100_000, "the JSON has more than 65536 values"),
]


@pytest.mark.parametrize(("line", "reason"), REFUSED, ids=[reason[:40] for _, reason in REFUSED])
def test_a_bad_record_is_named_and_the_rest_goes_in(tmp_path: Path, line: bytes, reason: str):
    """The reject says its line and why; the records on both sides of it are taken."""
    before, reject, after = entries(written(tmp_path, b'{"id": "before", "text": "t"}', line, GOOD))
    assert isinstance(before, Record)
    assert isinstance(after, Record)
    assert isinstance(reject, Reject)
    assert (reject.place.source, reject.place.line) == ("corpus.jsonl", 2)
    assert reject.reason.startswith(reason)


def test_a_repeated_id_is_refused_naming_the_first(tmp_path: Path):
    """The first record of an id is kept; the later one says where that was."""
    first, reject = entries(written(tmp_path, GOOD, b"", b'{"id": "good", "text": "other"}'))
    assert isinstance(first, Record)
    assert isinstance(reject, Reject)
    assert first.document.text == "text"
    assert (reject.place.line, reject.id) == (3, "good")
    assert reject.reason == "the id is already used by corpus.jsonl:1"


def test_a_refused_record_does_not_take_its_id(tmp_path: Path):
    """A good record may follow a bad one of the same id."""
    path = written(tmp_path, b'{"id": "good", "text": ""}', GOOD)
    assert [document.id for document in documents(path)] == ["good"]


def test_a_huge_line_is_passed_over_in_bounded_memory(tmp_path: Path):
    """A line of 100 MB is refused without being held, and the line behind it is read."""
    path = tmp_path / "corpus.jsonl"
    with path.open("wb") as stream:
        stream.seek(100_000_000)
        stream.write(b"\n" + GOOD)
    tracemalloc.start()
    reject, good = entries(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(reject, Reject)
    assert isinstance(good, Record)
    assert reject.reason == f"the line is longer than {RECORD_BYTES_MAX} bytes"
    assert good.place.line == 2
    assert peak < 3 * RECORD_BYTES_MAX


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(("longer", "kind"), [(0, Record), (1, Reject)])
def test_the_line_bound_is_exact(tmp_path: Path, line_end: bytes, longer: int, kind: type):
    """A line of exactly the bound is read, one byte more is not; the line end does not count."""
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(GOOD + line_end + b'{"id": "next", "text": "t"}' + line_end)
    corpus = JsonLinesCorpus(path=path, fields=Fields(), record_bytes_max=len(GOOD) - longer)
    first, second = check_entries(corpus.entries())
    assert isinstance(first, kind)
    assert second.place.line == 2


def test_compressed_files_are_read(tmp_path: Path):
    """.gz (several members too) and .zst give what the plain file gives."""
    plain = written(tmp_path, GOOD, b'{"id": "b", "text": "t"}')
    zipped = tmp_path / "corpus.jsonl.gz"
    zipped.write_bytes(gzip.compress(GOOD + b"\n") + gzip.compress(b'{"id": "b", "text": "t"}\n'))
    packed = tmp_path / "corpus.jsonl.zst"
    with pa.CompressedOutputStream(str(packed), "zstd") as stream:
        stream.write(plain.read_bytes())
    assert documents(zipped) == documents(plain)
    assert documents(packed) == documents(plain)


def test_blank_lines_bom_and_missing_last_line_end(tmp_path: Path):
    """What editors leave behind is no reject."""
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD + b"\r\n\r\n   \n" + b'{"id": "last", "text": "t"}')
    assert [document.id for document in documents(path)] == ["good", "last"]


def test_positions_lead_to_the_size(tmp_path: Path):
    """Progress is bytes read of bytes there are, never backwards, and ends at the end."""
    path = written(tmp_path, *(orjson.dumps({"id": str(number), "text": "t" * 100}) for number in range(2000)))
    corpus = JsonLinesCorpus(path=path, fields=Fields())
    positions = [entry.position for entry in corpus.entries()]
    assert positions == sorted(positions)
    assert positions[-1] == corpus.size == path.stat().st_size


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_archive_is_an_error(tmp_path: Path, cut: int):
    """A .gz that ends too early is no short corpus: who prunes by it would lose documents."""
    path = tmp_path / "corpus.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD + b"\n")[:-cut])
    with pytest.raises(CorpusUnreadable, match="after line"):
        entries(path)


@pytest.mark.parametrize("name", ["corpus.jsonl.gz", "corpus.jsonl.zst"])
def test_a_misnamed_archive_is_an_error(tmp_path: Path, name: str):
    """Bytes that are not what the suffix says are refused with the file's name."""
    path = tmp_path / name
    path.write_bytes(GOOD)
    with pytest.raises(CorpusUnreadable, match=name):
        entries(path)


def test_standard_input():
    """`-` reads the standard input, whose size nobody knows."""
    program = (
        "from winnow.indexer.readers.open_corpus import open_corpus\n"
        "corpus = open_corpus('-')\n"
        "print(corpus.size, [(str(entry.place), entry.document.id) for entry in corpus.entries()])"
    )
    finished = subprocess.run([sys.executable, "-c", program], input=GOOD, capture_output=True, check=True)
    assert finished.stdout.decode().strip() == "None [('standard input:1', 'good')]"
