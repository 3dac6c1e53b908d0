"""Chooses the reader for a corpus.

python-docs:[MODULE]      the running interpreter's documentation
-                         JSON lines from standard input
FOLDER with corpus.jsonl  BEIR
FOLDER                    the files below it, of all formats in indexer/readers/formats.py
FILE.jsonl[.gz|.zst]      JSON lines
FILE.json[.gz|.zst]       JSON lines, or an array
FILE.json, .xml           with --records-path: the records at that path
FILE.csv, .tsv[.gz|.zst]  a table; FILE.parquet, .arrow and .feather likewise
FILE that begins <DOC>    TREC
FOLDER of save_to_disk    a data set of Hugging Face
FOLDER of such files      if all are of one kind: one corpus (datasets/shards.py)
FILE of those formats     one document, or several
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from winnow.indexer.corpus import Corpus
from winnow.indexer.decoding.column_types import RequestedTypes
from winnow.indexer.decoding.streams import STANDARD_INPUT, require_file
from winnow.indexer.readers.beir import corpus_file, is_beir
from winnow.indexer.readers.by_path.open_by_path import open_by_path
from winnow.indexer.readers.datasets.arrow import ArrowCorpus, is_saved_dataset, open_saved_dataset
from winnow.indexer.readers.datasets.shards import TREC, ShardsCorpus, find_shards, kind_of_name
from winnow.indexer.readers.datasets.trec import TrecCorpus, is_trec
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.folder import FileCorpus, FolderCorpus
from winnow.indexer.readers.folder_walk import Choice
from winnow.indexer.readers.formats import FORMATS, Readability, format_of_name, has_parser
from winnow.indexer.readers.json_array import json_corpus
from winnow.indexer.readers.jsonl import JsonCorpus, JsonLinesCorpus
from winnow.indexer.readers.naming.naming import Naming
from winnow.indexer.readers.parquet import ParquetCorpus
from winnow.indexer.readers.python_docs import SCHEME, PythonDocsCorpus
from winnow.indexer.readers.tables import DELIMITERS, CsvCorpus
from winnow.indexer.readers.untrusted.detection import guess_format
from winnow.indexer.readers.untrusted.ocr import OcrCommand
from winnow.indexer.sandbox.limits import ParseLimits
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest

_RECORDS: Final = ".jsonl, .ndjson, .json, .csv, .tsv (each also .gz or .zst), .parquet, .arrow, .feather"
_COLUMNAR: Final = frozenset({"parquet", "arrow"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Options for reading a corpus; unset ones are detected."""

    fields: Fields | None = None  # None: detected, as is every name in it that is None
    encoding: str | None = None  # from `find_codec`
    types: RequestedTypes = field(default_factory=RequestedTypes)  # column types of a table
    choice: Choice = field(default_factory=Choice)  # files of a folder
    limits: ParseLimits = field(default_factory=ParseLimits)  # of the process that parses documents
    ocr: OcrCommand | None = None  # reads pages that are images
    columns: tuple[str, ...] | None = None  # of a table without a header
    records_path: str | None = None  # where in a JSON or XML file its records are
    splits: tuple[str, ...] = ()  # of a data set that `save_to_disk` wrote; empty: all


def open_corpus(source: str, reading: Reading | None = None) -> Corpus:
    """Open the corpus of `winnow index SOURCE`.

    Raises `CorpusUnreadable`, and `InvalidRequest` if an option does not apply to this kind of corpus.
    """
    reading = reading or Reading()
    corpus = _open(source, reading)
    kind = corpus.kind if isinstance(corpus, ShardsCorpus) else ""
    has_files = isinstance(corpus, FolderCorpus)
    has_columns = isinstance(corpus, CsvCorpus) or kind in ("csv", "tsv")
    has_encoding = not isinstance(corpus, ParquetCorpus | ArrowCorpus | PythonDocsCorpus) and kind not in _COLUMNAR
    for flags, is_asked, fits, of in (
        ("--include and --exclude", reading.choice != Choice(), has_files, "files of a folder"),
        ("--columns", reading.columns is not None, has_columns, "a CSV or TSV file"),
        ("--types", reading.types != RequestedTypes(), has_columns, "columns of a CSV file"),
        ("--split", bool(reading.splits), isinstance(corpus, ArrowCorpus), "data sets of Hugging Face on disk"),
        ("--encoding", reading.encoding is not None, has_encoding, "text"),
        ("--records-path", reading.records_path is not None, Path(source).is_file(), "a .json or .xml file"),
    ):
        if is_asked and not fits:
            raise InvalidRequest(f"{flags} applies to {of}; {corpus.name} has none")
    return corpus


def check(corpus: Corpus) -> None:
    """Read just enough to know whether the corpus is readable. Raises `CorpusUnreadable`."""
    match corpus:
        case CsvCorpus() | ParquetCorpus() | ArrowCorpus():
            corpus.require_columns()
        case _:
            _ = corpus.size  # a folder is walked


def _open(source: str, reading: Reading) -> Corpus:
    if source.startswith(SCHEME):
        return PythonDocsCorpus(package=source.removeprefix(SCHEME))
    path = Path(source)
    if path == STANDARD_INPUT:
        return JsonLinesCorpus(path=path, fields=reading.fields or Fields(), encoding=reading.encoding)
    if path.is_dir():
        return _of_folder(path, reading)
    if path.exists():
        return _of_file(path, reading)
    raise CorpusUnreadable(f"no such file or folder: {source!r}")


def _of_folder(path: Path, reading: Reading) -> Corpus:
    fields = reading.fields or Fields()
    if is_beir(path):
        return JsonLinesCorpus(path=corpus_file(path), fields=fields, encoding=reading.encoding)
    if is_saved_dataset(path):
        return open_saved_dataset(path, fields=fields, splits=reading.splits)
    shards = find_shards(path) if reading.choice == Choice() else None
    if shards is not None:
        kind, files = shards
        corpus = ShardsCorpus(root=path, kind=kind, files=files, open_shard=partial(_open_records, reading))
        if corpus.has_documents():
            return corpus
    return FolderCorpus(
        root=path, choice=reading.choice, encoding=reading.encoding, limits=reading.limits, ocr=reading.ocr
    )


def _of_file(path: Path, reading: Reading) -> Corpus:
    require_file(path)
    if reading.records_path is not None:
        return open_by_path(path, reading.records_path, fields=reading.fields or Fields(), encoding=reading.encoding)
    kind = kind_of_name(path)
    if kind is None and is_trec(path):
        kind = TREC
    return _open_records(reading, path, kind) if kind is not None else _of_document(path, reading)


def _open_records(
    reading: Reading, path: Path, kind: str, label: str = "", naming: Naming | None = None
) -> JsonCorpus | CsvCorpus | ParquetCorpus | ArrowCorpus | TrecCorpus:
    """A file of records. `label` names it in places, `naming` holds the names that an earlier shard decided."""
    fields, encoding = reading.fields or Fields(), reading.encoding
    match kind:
        case "json" if path.name.lower().removesuffix(".gz").removesuffix(".zst").endswith(".json"):
            return json_corpus(path, fields=fields, encoding=encoding, label=label, naming=naming)
        case "json":
            naming = naming or Naming()
            return JsonLinesCorpus(path=path, fields=fields, encoding=encoding, label=label, naming=naming)
        case "parquet":
            return ParquetCorpus(path=path, fields=fields, label=label)
        case "arrow":
            return ArrowCorpus(path=path, files=(path,), fields=fields, label=label)
        case "trec":
            return TrecCorpus(path=path, fields=fields, encoding=encoding, label=label)
        case _:
            return CsvCorpus(
                path=path,
                fields=fields,
                delimiter=DELIMITERS[f".{kind}"],
                encoding=encoding,
                types=reading.types,
                columns=reading.columns,
                label=label,
            )


def _of_document(path: Path, reading: Reading) -> Corpus:
    """A single file that a parser exists for. Raises `CorpusUnreadable`."""
    chosen = format_of_name(path.name) or guess_format(str(path), has_ending=bool(path.suffix))
    readability = Readability()
    if chosen is not None and readability.can_read(chosen):
        return FileCorpus(path=path, encoding=reading.encoding, limits=reading.limits, ocr=reading.ocr)
    if readability.notes:
        raise CorpusUnreadable(f"{str(path)!r} cannot be read. {readability.notes[0]}")
    endings = sorted({ending for each in FORMATS if has_parser(each) for ending in each.endings})
    raise CorpusUnreadable(
        f"{str(path)!r} cannot be read: expected a folder or a file: {_RECORDS}, {', '.join(endings)}"
    )
