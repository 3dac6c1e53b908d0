"""Entry of the process that parses: what a file holds, whatever it is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from winnow.indexer.corpus import Refused
from winnow.indexer.readers import formats
from winnow.indexer.readers.formats import (
    DOCUMENTS_EXTRA,
    Format,
    ending_of,
    format_of_name,
    has_parser,
    missing_libraries,
)
from winnow.indexer.readers.parser import Parser, SourceFile, Unparsable
from winnow.indexer.readers.text_files import read_text_file
from winnow.indexer.readers.untrusted.archives import ARCHIVES, Archives, check_container
from winnow.indexer.readers.untrusted.detection import find_format
from winnow.indexer.sandbox.outcomes import Ended, Opened, Outcome, Task
from winnow.retrieval.records import Document

ENTRY: Final = "winnow.indexer.readers.untrusted.parse_file:parse_file"
_CONTAINERS: Final = frozenset({formats.DOCX, formats.PPTX, formats.XLSX, formats.EPUB})


def parse_file(task: Task) -> Iterator[Outcome]:
    """Yield the documents and refusals of the task's file; `Ended` only with a reason."""
    source = SourceFile(
        path=Path(task.path), name=task.name, encoding=task.encoding, has_ocr=task.has_ocr, parse_part=parse_part
    )
    archives = Archives(
        parse=parse_as, scratch=Path(tempfile.gettempdir()), done=task.resume_after, broken=frozenset(task.broken)
    )
    try:
        found = find_format(source.path, source.name)
        yield Opened(format=found.name)
        _require_readable(source.path, found)
        if found in ARCHIVES:
            yield from archives.members(source, found)
        else:
            yield from parse_as(source, found)
    except Unparsable as error:
        yield Ended(reason=str(error))


def parse_as(source: SourceFile, chosen: Format) -> Iterator[Document | Refused]:
    """Parse one file as a format that is no archive. Raises `Unparsable`, and whatever a parser raises."""
    if chosen is formats.TEXT:
        yield read_text_file(source.path, source.name, asked=source.encoding).made
        return
    _require_readable(source.path, chosen)
    if chosen in _CONTAINERS:
        check_container(source.path)
    parser = cast("Parser", import_module(chosen.module).parse)
    try:
        yield from parser(source)
    except (Unparsable, MemoryError):
        raise
    except RecursionError as error:
        raise Unparsable("it is nested too deeply") from error
    except Exception as error:
        message = " ".join(str(error).split())[:200]
        described = f"{type(error).__name__}: {message}" if message else type(error).__name__
        raise Unparsable(f"it is damaged or unusual: its parser failed with {described}") from error


def parse_part(content: bytes, name: str) -> Iterator[Document | Refused]:
    """Parse an attachment, in a temporary file under a name of our own. Archives within mails are not unpacked."""
    if format_of_name(name) is None:
        return
    with tempfile.NamedTemporaryFile(suffix=ending_of(name)) as file:
        file.write(content)
        file.flush()
        path = Path(file.name)
        try:
            found = find_format(path, name)
            if found in ARCHIVES:
                yield Refused(reason="archives within mails are not unpacked", id=name)
            else:
                yield from parse_as(SourceFile(path=path, name=name), found)
        except Unparsable as error:
            yield Refused(reason=str(error), id=name)


def _require_readable(path: Path, chosen: Format) -> None:
    if not has_parser(chosen):
        raise Unparsable(f"this version of winnow has no parser for {chosen.title}")
    if missing := missing_libraries(chosen):
        raise Unparsable(f"reading {chosen.title} needs {', '.join(missing)}; run: {DOCUMENTS_EXTRA}")
    size = path.stat().st_size
    if size > chosen.bytes_max:
        raise Unparsable(f"the file has {size} bytes; the limit for {chosen.title} is {chosen.bytes_max}")
