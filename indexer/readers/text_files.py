"""Reads one text file as a document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.indexer.corpus import Refused
from winnow.indexer.decoding.encodings import Encoding, decode_text
from winnow.indexer.decoding.streams import special_kind
from winnow.indexer.readers.markdown import read_markdown
from winnow.retrieval.limits import RECORD_BYTES_MAX
from winnow.retrieval.records import Document, Location, Part

MARKDOWN_SUFFIXES: Final = frozenset({".md", ".markdown"})
TEXT_SUFFIXES: Final = frozenset({".txt", *MARKDOWN_SUFFIXES})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRead:
    """Result of reading one file."""

    made: Document | Refused
    encoding: Encoding | None = None  # None if it was not read
    problem: str | None = None  # of its front matter, which then stays in the text


def read_text_file(path: Path, document_id: str, *, asked: str | None = None) -> FileRead:
    """Read one file; never raises. Special files are refused before they are opened. `asked` is an encoding."""
    try:
        special = special_kind(path.stat().st_mode)
        if special is not None:
            return FileRead(made=Refused(reason=f"{special}, not a file; it was skipped", id=document_id))
        with path.open("rb") as stream:
            content = stream.read(RECORD_BYTES_MAX + 1)
    except OSError as error:
        return FileRead(made=Refused(reason=f"cannot be read: {error.strerror}", id=document_id))
    if len(content) > RECORD_BYTES_MAX:
        return FileRead(made=Refused(reason=f"the file is longer than {RECORD_BYTES_MAX} bytes", id=document_id))
    text, encoding, reason = decode_text(content, asked=asked)
    if text is None:
        return FileRead(made=Refused(reason=reason, id=document_id))
    if path.suffix.lower() not in MARKDOWN_SUFFIXES:
        parts = (Part(start=0, end=len(text), location=Location(line=1)),) if text else ()
        return FileRead(made=Document(id=document_id, text=text, parts=parts), encoding=encoding)
    markdown = read_markdown(text)
    made = Document(
        id=document_id, text=markdown.body, title=markdown.title, metadata=markdown.metadata, parts=markdown.parts
    )
    return FileRead(made=made, encoding=encoding, problem=markdown.problem)
