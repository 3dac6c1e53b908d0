"""Chooses the reader for a corpus.

python-docs:[MODULE]      the running interpreter's documentation
-                         JSON lines from standard input
FOLDER with corpus.jsonl  BEIR
FOLDER                    the files below it, of all formats in indexer/readers/formats.py
FILE.jsonl[.gz|.zst]      JSON lines
FILE.json[.gz|.zst]       JSON lines, or an array
FILE.csv, .tsv[.gz|.zst]  a table; FILE.parquet likewise
FILE of those formats     one document, or several
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from winnow.indexer.corpus import Corpus
from winnow.indexer.decoding.column_types import RequestedTypes
from winnow.indexer.decoding.streams import STANDARD_INPUT, require_file
from winnow.indexer.readers.beir import corpus_file, is_beir
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.folder import FileCorpus, FolderCorpus
from winnow.indexer.readers.folder_walk import Choice
from winnow.indexer.readers.formats import FORMATS, Readability, format_of_name, has_parser
from winnow.indexer.readers.json_array import json_corpus
from winnow.indexer.readers.jsonl import JsonLinesCorpus
from winnow.indexer.readers.parquet import ParquetCorpus
from winnow.indexer.readers.python_docs import SCHEME, PythonDocsCorpus
from winnow.indexer.readers.tables import DELIMITERS, CsvCorpus
from winnow.indexer.readers.untrusted.detection import guess_format
from winnow.indexer.sandbox.limits import ParseLimits
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest

_JSON_LINES_SUFFIXES: Final = frozenset({".jsonl", ".ndjson"})
_COMPRESSION_SUFFIXES: Final = frozenset({".gz", ".zst"})
_RECORDS: Final = ".jsonl, .ndjson, .json, .csv, .tsv (each also .gz or .zst), .parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Options for reading a corpus; unset ones are detected."""

    fields: Fields | None = None  # None: detected, as is every name in it that is None
    encoding: str | None = None  # from `find_codec`
    types: RequestedTypes = field(default_factory=RequestedTypes)  # column types of a table
    choice: Choice = field(default_factory=Choice)  # files of a folder
    limits: ParseLimits = field(default_factory=ParseLimits)  # of the process that parses documents
    columns: tuple[str, ...] | None = None  # of a table without a header


def open_corpus(source: str, reading: Reading | None = None) -> Corpus:
    """Open the corpus of `winnow index SOURCE`.

    Raises `CorpusUnreadable`, and `InvalidRequest` if an option does not apply to this kind of corpus.
    """
    reading = reading or Reading()
    corpus = _open(source, reading)
    has_files, has_columns = isinstance(corpus, FolderCorpus), isinstance(corpus, CsvCorpus)
    has_encoding = not isinstance(corpus, ParquetCorpus | PythonDocsCorpus)
    for flags, is_asked, fits, of in (
        ("--include and --exclude", reading.choice != Choice(), has_files, "files of a folder"),
        ("--columns", reading.columns is not None, has_columns, "a CSV or TSV file"),
        ("--types", reading.types != RequestedTypes(), has_columns, "columns of a CSV file"),
        ("--encoding", reading.encoding is not None, has_encoding, "text"),
    ):
        if is_asked and not fits:
            raise InvalidRequest(f"{flags} applies to {of}; {corpus.name} has none")
    return corpus


def check(corpus: Corpus) -> None:
    """Read just enough to know whether the corpus is readable. Raises `CorpusUnreadable`."""
    match corpus:
        case CsvCorpus() | ParquetCorpus():
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
        return _of_file(path, reading, reading.fields or Fields())
    raise CorpusUnreadable(f"no such file or folder: {source!r}")


def _of_folder(path: Path, reading: Reading) -> Corpus:
    if is_beir(path):
        return JsonLinesCorpus(path=corpus_file(path), fields=reading.fields or Fields(), encoding=reading.encoding)
    return FolderCorpus(root=path, choice=reading.choice, encoding=reading.encoding, limits=reading.limits)


def _of_file(path: Path, reading: Reading, fields: Fields) -> Corpus:
    require_file(path)
    suffixes = [suffix.lower() for suffix in reversed(path.suffixes)]
    suffix = next((part for part in suffixes if part not in _COMPRESSION_SUFFIXES), "")
    if suffix in _JSON_LINES_SUFFIXES:
        return JsonLinesCorpus(path=path, fields=fields, encoding=reading.encoding)
    if suffix == ".json":
        return json_corpus(path, fields=fields, encoding=reading.encoding)
    if suffix in DELIMITERS:
        return CsvCorpus(
            path=path,
            fields=fields,
            delimiter=DELIMITERS[suffix],
            encoding=reading.encoding,
            types=reading.types,
            columns=reading.columns,
        )
    if suffix == ".parquet":
        return ParquetCorpus(path=path, fields=fields)
    return _of_document(path, reading)


def _of_document(path: Path, reading: Reading) -> Corpus:
    """A single file that a parser exists for. Raises `CorpusUnreadable`."""
    chosen = format_of_name(path.name) or guess_format(str(path), has_ending=bool(path.suffix))
    readability = Readability()
    if chosen is not None and readability.can_read(chosen):
        return FileCorpus(path=path, encoding=reading.encoding, limits=reading.limits)
    if readability.notes:
        raise CorpusUnreadable(f"{str(path)!r} cannot be read. {readability.notes[0]}")
    endings = sorted({ending for each in FORMATS if has_parser(each) for ending in each.endings})
    raise CorpusUnreadable(
        f"{str(path)!r} cannot be read: expected a folder or a file: {_RECORDS}, {', '.join(endings)}"
    )
