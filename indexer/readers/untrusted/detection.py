"""Determines the format of a file by its content, then by its ending.

A container (ZIP, compressed stream) is recognised by its first bytes and told apart by what is in it. Text formats
have no mark of their own: the ending decides between them, unless the content cannot be what it says.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import BinaryIO, Final

from winnow.indexer.readers import formats
from winnow.indexer.readers.formats import Format
from winnow.indexer.readers.parser import Unparsable

START_BYTES: Final = 4_096
_OLE2: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP_MARKS: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_PARQUET: Final = b"PAR1"
COMPRESSION_MARKS: Final = {
    b"\x1f\x8b": "gz",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}
_FOREIGN: Final = {  # what people rename to a readable ending
    b"\x89PNG\r\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"{\\rtf": "a Rich Text file; save it as .docx",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive; repack it as .zip",
    b"Rar!\x1a\x07": "a RAR archive; repack it as .zip",
    b"\x7fELF": "a program",
    b"MZ\x90\0": "a program",
    b"SQLite format 3\0": "a SQLite database",
}
_HTML_START: Final = re.compile(
    rb"(?:<\?xml[^>]*>|<!--.*?-->|\s)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_XML_START: Final = re.compile(rb"\s*<\?xml\s", re.IGNORECASE)
_MAILBOX_START: Final = re.compile(rb"From [^\r\n]{1,200}\r?\n[!-9;-~]+:")
_MAIL_START: Final = re.compile(rb"(?:(?:received|return-path|delivered-to|from|to|subject|date|message-id|"
                                rb"mime-version|x-[\w-]+):[^\n]*\n(?:[ \t][^\n]*\n)*){3}", re.IGNORECASE)  # fmt: skip
_NOTEBOOK_START: Final = re.compile(rb'\s*\{\s*"(?:cells|metadata|nbformat)"')
_OFFICE_PARTS: Final = (("word/", formats.DOCX), ("ppt/", formats.PPTX), ("xl/", formats.XLSX))
_MEDIA_TYPES: Final = {
    b"application/epub+zip": formats.EPUB,
}
_OPEN_DOCUMENT: Final = b"application/vnd.oasis.opendocument."
_WRITTEN: Final = frozenset({
    formats.TEXT, formats.RST, formats.CODE, formats.NOTEBOOK, formats.TABLE, formats.JSON,
})  # fmt: skip
_HOLD_ANYTHING: Final = frozenset({formats.ZIP, formats.TAR, formats.COMPRESSED})
_UNMARKED: Final = frozenset({*_WRITTEN, formats.XML, formats.EML, formats.HTML, formats.MBOX})


def find_format(path: Path, name: str) -> Format:
    """Determine the format. Raises `Unparsable` for what no parser reads, with the reason; raises OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise Unparsable("it is not a regular file")
    with path.open("rb") as stream:
        start = stream.read(START_BYTES)
    named = formats.format_of_name(name)
    for mark, kind in _FOREIGN.items():
        if start.startswith(mark):
            raise Unparsable(f"it is {kind}")
    if start.startswith(_OLE2):
        raise Unparsable(
            "it is an encrypted or pre-2007 Office file; save it without a password as .docx, .xlsx or .pptx"
        )
    marked = _marked(path, start, named)
    if marked is not None:
        return marked
    return _text_format(start, named)


def of_start(start: bytes, named: Format | None = None) -> Format | None:
    """The format that the first bytes of a file alone prove; `ZIP` stands for its whole family.

    `named` is the format of its ending: a Markdown file may quote, and a program may print, what other formats begin
    with.
    """
    if start.startswith(b"%PDF-") or (b"%PDF-" in start[:1024] and named not in _WRITTEN):
        return formats.PDF
    if start.startswith(_ZIP_MARKS):
        return formats.ZIP
    if compression_of(start) is not None:
        return formats.COMPRESSED
    if start.startswith(_PARQUET):
        return formats.PARQUET
    if tarfile_starts(start):
        return formats.TAR
    return None if named in _WRITTEN else _of_text(_plain(start))


def _of_text(plain: bytes) -> Format | None:
    if _HTML_START.match(plain):
        return formats.HTML
    return formats.MBOX if _MAILBOX_START.match(plain) else None


def guess_format(path: str, *, has_ending: bool) -> Format | None:
    """The format of a file whose name tells none; None if its first bytes do not tell either, or cannot be read.

    Many programs keep their data in ZIP archives of their own, so an unknown ending counts more than that.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe is not waited for
    except OSError:
        return None
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        found = of_start(os.read(descriptor, START_BYTES)) if is_file else None
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None if has_ending and found in _HOLD_ANYTHING else found


def compression_of(start: bytes) -> str | None:
    return next((name for mark, name in COMPRESSION_MARKS.items() if start.startswith(mark)), None)


def tarfile_starts(start: bytes) -> bool:
    """Whether this is the first header of a TAR archive, by its checksum."""
    try:
        tarfile.TarInfo.frombuf(start[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _marked(path: Path, start: bytes, named: Format | None) -> Format | None:
    found = of_start(start, named)
    if found is formats.ZIP:
        with path.open("rb") as stream:
            return _in_zip(stream)
    return found


def _in_zip(stream: BinaryIO) -> Format:
    """Tell the formats apart that are ZIP archives, by their members."""
    try:
        with zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
            media_type = _media_type(archive)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError) as error:
        raise Unparsable(f"the ZIP archive is damaged or was cut off ({error})") from error
    if media_type in _MEDIA_TYPES:
        return _MEDIA_TYPES[media_type]
    if media_type.startswith(_OPEN_DOCUMENT):
        raise Unparsable("it is an OpenDocument file; save it as .docx, .xlsx or .pptx")
    if "[Content_Types].xml" in names:
        for folder, office in _OFFICE_PARTS:
            if any(name.startswith(folder) for name in names):
                return office
        raise Unparsable("it is an Office file of an unknown kind")
    if "META-INF/container.xml" in names:
        return formats.EPUB
    return formats.ZIP


def _media_type(archive: zipfile.ZipFile) -> bytes:
    try:
        with archive.open("mimetype") as member:
            return member.read(200).strip()
    except (KeyError, zipfile.BadZipFile, RuntimeError, OSError):
        return b""


def _text_format(start: bytes, named: Format | None) -> Format:
    plain = _plain(start)
    if named is None:
        if _MAIL_START.match(plain):
            return formats.EML
        if _NOTEBOOK_START.match(plain) and b'"nbformat"' in plain:
            return formats.NOTEBOOK
        if _XML_START.match(plain):
            return formats.XML
        raise Unparsable("its format is unknown")
    if named in _UNMARKED:
        if named is formats.MBOX and _MAIL_START.match(plain):
            return formats.EML
        return named
    if not start:
        raise Unparsable("the file is empty")
    raise Unparsable(f"its content does not match its ending ({named.title}); it may be damaged or cut off")


def _plain(start: bytes) -> bytes:
    """The start as ASCII-compatible bytes without a byte order mark."""
    for mark, codec in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if start.startswith(mark):
            return start[2:].decode(codec, "ignore").encode()
    return start.removeprefix(b"\xef\xbb\xbf")
