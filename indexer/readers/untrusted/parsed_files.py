"""Reads files through the sandbox: each becomes records and rejects, and is counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from winnow.indexer.corpus import Entry, Place, Record, Refused, Reject
from winnow.indexer.decoding.streams import shown_path
from winnow.indexer.readers.formats import BY_NAME, TEXT, format_of_name
from winnow.indexer.readers.untrusted.ocr import OcrCommand, OcrFailed, OcrRuns
from winnow.indexer.sandbox.limits import ParseLimits
from winnow.indexer.sandbox.outcomes import Ended, Member, Opened, Skipped, Task
from winnow.indexer.sandbox.sandbox import Sandbox
from winnow.retrieval.records import Document

ENTRY: Final = "winnow.indexer.readers.untrusted.parse_file:parse_file"


class ParsedFiles:
    """Files of one corpus. The process that parses starts with the first of them."""

    def __init__(self, limits: ParseLimits, ocr: OcrCommand | None = None) -> None:
        self._limits = limits
        self._ocr = None if ocr is None else OcrRuns(ocr)
        self._sandbox: Sandbox | None = None
        self.formats: Counter[str] = Counter()  # title -> files
        self.skipped: Counter[str] = Counter()  # ending -> members of archives without a reader

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the process that parses for the time of one reading."""
        self.formats.clear()
        self.skipped.clear()
        with Sandbox(ENTRY, self._limits) as self._sandbox:
            yield

    def stop(self) -> None:
        """End the process that parses, and the OCR command."""
        if self._ocr is not None:
            self._ocr.stop()
        if self._sandbox is not None:
            self._sandbox.stop()

    def entries(self, path: Path, name: str, *, encoding: str | None, position: int) -> Iterator[Entry]:
        """Yield what the file holds; at least one entry. Called within `reading`."""
        assert self._sandbox is not None, "files are read within `reading`. This is a bug."
        is_empty = True
        title: str | None = None
        source = name  # or the member of an archive
        task = Task(path=str(path.absolute()), name=name, encoding=encoding, has_ocr=self._ocr is not None)
        for outcome in self._sandbox.outcomes(task):
            match outcome:
                case Document():
                    is_empty = False
                    yield Record(document=outcome, place=Place(source=source), position=position)
                case Refused(page=int() as page) if self._ocr is not None and outcome.id == f"{name}#page-{page}":
                    is_empty = False
                    yield _read_by(self._ocr, path, outcome, page, place=Place(source=name), position=position)
                case Refused():
                    is_empty = False
                    yield _reject(outcome.id or name, outcome.reason, Place(source=source), position)
                case Opened():
                    title = BY_NAME[outcome.format].title if outcome.format in BY_NAME else None
                case Skipped():
                    self.skipped[shown_path(outcome.ending)] += outcome.count
                case Ended(reason=str() as reason):
                    is_empty = False
                    yield _reject(name, reason, Place(source=name), position)
                case Member():
                    source = outcome.name
                case Ended():
                    pass
        if title is None:  # what is damaged is counted as what it is called
            title = (format_of_name(name) or TEXT).title
        self.formats[title] += 1
        if is_empty:
            yield _reject(name, "it holds nothing that can be read", Place(source=name), position)

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.skipped:
            return ()
        shares = ", ".join(f"{ending} {count}" for ending, count in self.skipped.most_common(12))
        return (f"In archives, files of other types were not read: {shares}.",)


def _read_by(ocr: OcrRuns, path: Path, refused: Refused, page: int, *, place: Place, position: int) -> Entry:
    """Read a page without text by the OCR command."""
    document_id = refused.id or ""
    try:
        document = ocr.read_page(path.absolute(), page, document_id)
    except OcrFailed as error:
        return _reject(document_id, f"no text, page {page}: {error}", place, position)
    return Record(document=document, place=place, position=position)


def _reject(document_id: str, reason: str, place: Place, position: int) -> Reject:
    return Reject(place=place, reason=reason, position=position, id=document_id, holds_more=True)
