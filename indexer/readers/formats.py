"""Registry of the formats that a folder's files may have, and of the module that parses each.

A parser's module is named, not imported: its libraries load only in the process that parses (indexer/sandbox/).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Final

from winnow.indexer.readers.code.languages import ENDINGS

DOCUMENTS_EXTRA: Final = "pip install 'winnow-search[documents]'"
_PARSERS: Final = "winnow.indexer.readers.documents"
_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A file format."""

    name: str
    title: str  # as users call it
    endings: tuple[str, ...]  # in lower case
    media_type: str
    module: str  # of its parser; empty: `TEXT` is read by `read_text_file`, archives are unpacked
    needs: tuple[str, ...] = ()  # libraries of the extra `documents` that its parser imports
    bytes_max: int = 512 * _MB  # longer files are rejected unread


def _parser(name: str) -> str:
    return f"{_PARSERS}.{name}"


TEXT: Final = Format(
    name="text",
    title="Plain text and Markdown",
    endings=(".txt", ".md", ".markdown"),
    media_type="text/plain",
    module="",
    bytes_max=16 * _MB,
)
HTML: Final = Format(
    name="html",
    title="HTML",
    endings=(".html", ".htm", ".xhtml"),
    media_type="text/html",
    module=_parser("web_page"),
    needs=("lxml", "trafilatura"),
    bytes_max=64 * _MB,
)
PDF: Final = Format(
    name="pdf",
    title="PDF",
    endings=(".pdf",),
    media_type="application/pdf",
    module=_parser("pdf"),
    needs=("pypdfium2",),
)
DOCX: Final = Format(
    name="docx",
    title="Word",
    endings=(".docx", ".docm", ".dotx"),
    media_type="application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    module=_parser("word"),
    needs=("lxml",),
)
PPTX: Final = Format(
    name="pptx",
    title="PowerPoint",
    endings=(".pptx", ".pptm", ".ppsx"),
    media_type="application/vnd.openxmlformats-officedocument.presentationml.presentation",
    module=_parser("slides"),
    needs=("lxml",),
)
XLSX: Final = Format(
    name="xlsx",
    title="Excel",
    endings=(".xlsx", ".xlsm", ".xltx"),
    media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    module=_parser("sheets"),
    needs=("lxml",),
)
EPUB: Final = Format(
    name="epub",
    title="EPUB",
    endings=(".epub",),
    media_type="application/epub+zip",
    module=_parser("epub"),
    needs=("lxml",),
)
EML: Final = Format(
    name="eml",
    title="Mail",
    endings=(".eml", ".mht", ".mhtml"),  # the last two: a web page, saved as a mail
    media_type="message/rfc822",
    module=_parser("mail"),
    needs=("lxml", "trafilatura"),
    bytes_max=128 * _MB,
)
MBOX: Final = Format(
    name="mbox",
    title="Mailbox",
    endings=(".mbox", ".mbx"),
    media_type="application/mbox",
    module=_parser("mail_folder"),
    needs=("lxml", "trafilatura"),
    bytes_max=100_000 * _MB,
)
NOTEBOOK: Final = Format(
    name="ipynb",
    title="Jupyter notebook",
    endings=(".ipynb",),
    media_type="application/x-ipynb+json",
    module=_parser("notebook"),
    bytes_max=128 * _MB,
)
RST: Final = Format(
    name="rst",
    title="reStructuredText",
    endings=(".rst", ".rest"),
    media_type="text/x-rst",
    module="winnow.indexer.readers.markup.rst",
    needs=("docutils",),
    bytes_max=16 * _MB,
)
XML: Final = Format(
    name="xml",
    title="XML",
    endings=(".xml",),
    media_type="application/xml",
    module="winnow.indexer.readers.markup.xml_document",
    needs=("lxml",),
    bytes_max=64 * _MB,
)
TABLE: Final = Format(
    name="table",
    title="CSV and TSV",
    endings=(".csv", ".tsv"),
    media_type="text/csv",
    module="winnow.indexer.readers.data_files.table_file",
    bytes_max=100_000 * _MB,
)
JSON: Final = Format(
    name="json",
    title="JSON",
    endings=(".json", ".jsonl", ".ndjson"),
    media_type="application/json",
    module="winnow.indexer.readers.data_files.json_file",
    bytes_max=100_000 * _MB,
)
PARQUET: Final = Format(
    name="parquet",
    title="Parquet",
    endings=(".parquet",),
    media_type="application/vnd.apache.parquet",
    module="winnow.indexer.readers.data_files.columnar_file",
    bytes_max=100_000 * _MB,
)
CODE: Final = Format(
    name="code",
    title="Source code",
    endings=ENDINGS,
    media_type="text/plain",
    module=_parser("source_code"),
    needs=("tree_sitter",),
    bytes_max=16 * _MB,
)
ZIP: Final = Format(
    name="zip",
    title="ZIP archive",
    endings=(".zip",),
    media_type="application/zip",
    module="",
    bytes_max=100_000 * _MB,
)
TAR: Final = Format(
    name="tar",
    title="TAR archive",
    endings=(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst"),
    media_type="application/x-tar",
    module="",
    bytes_max=100_000 * _MB,
)
COMPRESSED: Final = Format(
    name="compressed",
    title="Compressed file",
    endings=(".gz", ".bz2", ".xz", ".zst"),
    media_type="application/gzip",
    module="",
    bytes_max=100_000 * _MB,
)

FORMATS: Final = (
    TEXT, HTML, PDF, DOCX, PPTX, XLSX, EPUB, EML, MBOX, NOTEBOOK, RST, XML, TABLE, JSON, PARQUET, CODE, ZIP,
    TAR, COMPRESSED,
)  # fmt: skip
BY_NAME: Final = {each.name: each for each in FORMATS}
_BY_ENDING: Final = {ending: each for each in FORMATS for ending in each.endings}


def ending_of(name: str) -> str:
    """The ending of a file's name in lower case, with both halves of `.tar.gz`; empty if it has none."""
    path = PurePosixPath(name.lower())
    both = "".join(path.suffixes[-2:])
    return both if both in _BY_ENDING else path.suffix


def format_of_name(name: str) -> Format | None:
    """The format that the ending of a file's name stands for; None if no format has it."""
    return _BY_ENDING.get(ending_of(name))


def has_parser(chosen: Format) -> bool:
    """Whether this version of winnow can read the format at all."""
    return not chosen.module or find_spec(chosen.module) is not None


def missing_libraries(chosen: Format) -> tuple[str, ...]:
    """The libraries that this format's parser needs and that are not installed. Imports none of them."""
    return tuple(name for name in chosen.needs if find_spec(name) is None)


class Readability:
    """Which formats can be read here, and how many files cannot for want of a library."""

    def __init__(self) -> None:
        self.lacking: Counter[str] = Counter()  # title -> files
        self._missing: dict[str, tuple[str, ...]] = {}  # name of a format -> libraries
        self._has_parser: dict[str, bool] = {}

    def can_read(self, chosen: Format) -> bool:
        """Whether a file of this format can be read; counts it if a library is missing."""
        if chosen.name not in self._has_parser:
            self._has_parser[chosen.name] = has_parser(chosen)
            self._missing[chosen.name] = missing_libraries(chosen)
        if self._has_parser[chosen.name] and self._missing[chosen.name]:
            self.lacking[chosen.title] += 1
        return self._has_parser[chosen.name] and not self._missing[chosen.name]

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each format."""
        missing = {BY_NAME[name].title: ", ".join(libraries) for name, libraries in self._missing.items()}
        return tuple(
            f"{count} {title} files were not read: {missing[title]} is not installed. Run: {DOCUMENTS_EXTRA}"
            for title, count in self.lacking.most_common()
        )
