"""Which reader reads this corpus?

python-docs:[MODULE]      the running interpreter's documentation
-                         JSON lines from the standard input
FOLDER with corpus.jsonl  BEIR
FOLDER                    .txt and .md files below it
FILE.jsonl[.gz|.zst]      JSON lines
FILE.txt, FILE.md         one document
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from indexer.beir import corpus_file, is_beir
from indexer.corpus import Corpus
from indexer.fields import BEIR_FIELDS, Fields
from indexer.folder import FolderCorpus
from indexer.jsonl import JsonLinesCorpus
from indexer.lines import STANDARD_INPUT
from indexer.parquet import ParquetCorpus
from indexer.python_docs import SCHEME, PythonDocsCorpus
from indexer.tables import DELIMITERS, CsvCorpus
from retrieval.errors import CorpusUnreadable

_JSON_LINES_SUFFIXES: Final = frozenset({".jsonl", ".ndjson", ".json"})
_COMPRESSION_SUFFIXES: Final = frozenset({".gz", ".zst"})


def open_corpus(source: str, fields: Fields | None = None) -> Corpus:
    """The corpus that `winnow index SOURCE` means. `fields` None: the usual names. Raises `CorpusUnreadable`."""
    if source.startswith(SCHEME):
        return PythonDocsCorpus(package=source.removeprefix(SCHEME))
    path = Path(source)
    if path == STANDARD_INPUT:
        return JsonLinesCorpus(path=path, fields=fields or Fields())
    if path.is_dir():
        return _of_folder(path, fields)
    if path.exists():
        return _of_file(path, fields or Fields())
    raise CorpusUnreadable(f"there is no file or folder {source!r}")


def _of_folder(path: Path, fields: Fields | None) -> Corpus:
    if is_beir(path):
        return JsonLinesCorpus(path=corpus_file(path), fields=fields or BEIR_FIELDS)
    return FolderCorpus(root=path)


def _of_file(path: Path, fields: Fields) -> Corpus:
    suffixes = [suffix.lower() for suffix in reversed(path.suffixes)]
    suffix = next((part for part in suffixes if part not in _COMPRESSION_SUFFIXES), "")
    if suffix in _JSON_LINES_SUFFIXES:
        return JsonLinesCorpus(path=path, fields=fields)
    if suffix in DELIMITERS:
        return CsvCorpus(path=path, fields=fields, delimiter=DELIMITERS[suffix])
    if suffix == ".parquet":
        return ParquetCorpus(path=path, fields=fields)
    raise CorpusUnreadable(f"{str(path)!r} is neither a folder nor a .jsonl, .csv, .tsv or .parquet file")
