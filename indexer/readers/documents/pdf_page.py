"""Reads the words of a PDF page with their places.

The only module that names pypdfium2.
"""

from __future__ import annotations

import base64
import ctypes
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from winnow.indexer.readers.documents.pdf_layout import HYPHEN, Fragment
from winnow.indexer.readers.parser import Unparsable

PAGES_MAX: Final = 100_000
PAGE_CHARACTERS_MAX: Final = 500_000  # a page of a newspaper has 30,000
_BOOKMARKS_MAX: Final = 100_000
_BOOKMARK_DEPTH_MAX: Final = 12
_OBJECTS_MAX: Final = 2000  # of a page without text, looked through for images
_STAMP_CHARACTERS_MAX: Final = 200  # of what scanners print onto their images
_PATHS_MIN: Final = 50  # drawn shapes that may be letters
_GAP: Final = 1.0  # em; wider blanks may separate columns
_PRIVATE: Final = range(0xE000, 0xF900)  # glyphs that a font names in its own way
_UNREADABLE_SHARE_MAX: Final = 0.5
_LINE_ENDS: Final = frozenset("\r\n")
_SOFT_HYPHENS: Final = frozenset("\x02\xad\ufffe")  # the first and last are how pdfium marks them at a line's end
_EAST_ASIAN: Final = frozenset(
    {
        pdfium_c.FXFONT_SHIFTJIS_CHARSET,
        pdfium_c.FXFONT_HANGEUL_CHARSET,
        pdfium_c.FXFONT_GB2312_CHARSET,
        pdfium_c.FXFONT_CHINESEBIG5_CHARSET,
    }
)
_SQUARE: Final = 0x53515541  # our handle of the font below
_SQUARE_FONT: Final = base64.b64decode(  # every character is a square; made by tests/formats/square_font.py
    "AAEAAAAKAIAAAwAgT1MvMkE2J8UAAAEoAAAAYGNtYXAAEQBSAAABkAAAAChnbHlm9VH1TwAAAcAAAAA0aGVhZGL/Q9gAAACsAAAA"
    "NmhoZWEHWgOkAAAA5AAAACRobXR4BBoAMgAAAYgAAAAGbG9jYQAaAA0AAAG4AAAABm1heHAABAAGAAABCAAAACBuYW1lBZUZkAAA"
    "AfQAAABdcG9zdAADAAAAAAJUAAAAIAABAAAAAQAAUBOfZl8PPPUAAwPoAAAAAAAAAAAAAAAAAAAAAAAy/7oDtgM+AAAAAwACAAAA"
    "AAAAAAEAAANw/4gAAAPoADIAMgO2AAEAAAAAAAAAAAAAAAAAAAABAAEAAAACAAQAAQAAAAAAAgAAAAAAAAAAAAAAAAAAAAAAAwPo"
    "AZAABQAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD/////+////+gf//8AfwAfPz8/PwAAACD//QAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAgAAAD6AAyADIAAAAAAAEAAwAKAAAADAANAAAAAAAcAAAAAAAAAAEAAAAgAAD//QAAAAEAAAANABoAAAAB"
    "ADL/ugO2Az4AAwAAFxEhETIDhEYDhPx8AAEAMv+6A7YDPgADAAAXESERMgOERgOE/HwAAAAEADYAAQAAAAAAAQAGAAAAAQAAAAAA"
    "AgAHAAYAAwABBAkAAQAMAA0AAwABBAkAAgAOABlTcXVhcmVSZWd1bGFyAFMAcQB1AGEAcgBlAFIAZQBnAHUAbABhAHIAAAAAAwAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookmark:
    """An entry of the outline."""

    page: int  # counted from 1
    level: int  # 0: outermost
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The text of a page."""

    number: int  # counted from 1
    height: float
    fragments: list[Fragment]
    refusal: str | None = None  # why its text cannot be read; None also for a blank page
    is_picture: bool = False  # has little text or none, and shows something that may be text


class _SquareForMissingFonts(pdfium.PdfSysfontBase):  # type: ignore[misc]
    """Lends pdfium a font where a file names a Chinese, Japanese or Korean one that neither it nor this machine has.

    Without any, its characters have no extent, and pdfium leaves out each one that stands alone. Only extents are read
    here, so one shape is enough. The names of the methods are pdfium's (fpdf_sysfontinfo.h).
    """

    def MapFont(self, _: Any, weight: int, italic: int, charset: int, *more: Any) -> int | None:
        found: int | None = self.default.MapFont(self.default, weight, italic, charset, *more)
        return _SQUARE if not found and charset in _EAST_ASIAN else found

    def GetFontData(self, _: Any, font: int, table: int, buffer: Any, size: int) -> int:
        """Copy the whole file (`table` 0) if it fits, and return its size; 0 if there is no such table."""
        if font != _SQUARE:
            return int(self.default.GetFontData(self.default, font, table, buffer, size))
        if table != 0:
            return 0
        if size >= len(_SQUARE_FONT):
            ctypes.memmove(buffer, _SQUARE_FONT, len(_SQUARE_FONT))
        return len(_SQUARE_FONT)

    def GetFaceName(self, _: Any, font: int, buffer: Any, size: int) -> int:
        return 0 if font == _SQUARE else int(self.default.GetFaceName(self.default, font, buffer, size))

    def GetFontCharset(self, _: Any, font: int) -> int:
        if font == _SQUARE:
            return int(pdfium_c.FXFONT_GB2312_CHARSET)
        return int(self.default.GetFontCharset(self.default, font))

    def DeleteFont(self, _: Any, font: int) -> None:
        if font != _SQUARE:
            self.default.DeleteFont(self.default, font)


@cache
def _lend_a_font() -> None:
    """Once a process, before its first file."""
    _SquareForMissingFonts().setup()


@contextmanager
def open_pdf(path: Path) -> Iterator[Any]:
    """Open a file. Raises `Unparsable`."""
    _lend_a_font()
    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if error.err_code == pdfium_c.FPDF_ERR_PASSWORD:
            raise Unparsable("it is encrypted with a password; save a copy without one") from error
        if error.err_code == pdfium_c.FPDF_ERR_SECURITY:
            raise Unparsable("it is encrypted in a way that cannot be read; save a copy without encryption") from error
        raise Unparsable("it is not a PDF file, or it is damaged or was cut off") from error
    try:
        if not 0 < len(document) <= PAGES_MAX:
            raise Unparsable(f"it has {len(document)} pages; from 1 to {PAGES_MAX} can be read")
        yield document
    finally:
        document.close()


def read_bookmarks(document: Any) -> list[Bookmark]:
    """Read the outline. Entries that lead to no page of the file are left out."""
    found: list[Bookmark] = []
    for number, bookmark in enumerate(document.get_toc(max_depth=_BOOKMARK_DEPTH_MAX)):
        if number >= _BOOKMARKS_MAX:
            break
        place = bookmark.get_dest()
        page = place.get_index() if place else None
        title = clean(bookmark.get_title())
        if page is not None and 0 <= page < len(document) and title:
            found.append(Bookmark(page=page + 1, level=bookmark.level, title=title))
    return found


def read_fields(document: Any) -> dict[str, str]:
    """Read the document information: Title, Author, Subject, Keywords, CreationDate, ModDate; and Language."""
    fields = {name: clean(value) for name, value in document.get_metadata_dict(skip_empty=True).items()}
    length = pdfium_c.FPDFCatalog_GetLanguage(document, None, 0)
    if 2 < length <= 128:
        buffer = ctypes.create_string_buffer(length)
        pdfium_c.FPDFCatalog_GetLanguage(document, ctypes.cast(buffer, ctypes.POINTER(pdfium_c.FPDF_WCHAR)), length)
        fields["Language"] = clean(buffer.raw.decode("utf-16-le", "replace"))
    return fields


def clean(text: str) -> str:
    """One line without control characters and halves of surrogate pairs."""
    return " ".join("".join(" " if unicodedata.category(each) in ("Cc", "Cs") else each for each in text).split())


def read_page(document: Any, number: int) -> Page:
    """Read one page, and close it."""
    try:
        page = document[number - 1]
    except pdfium.PdfiumError:
        return Page(number=number, height=0, fragments=[], refusal=f"page {number} is damaged")
    try:
        return _read_open_page(page, number)
    finally:
        page.close()


def _read_open_page(page: Any, number: int) -> Page:
    try:
        text = page.get_textpage()
    except pdfium.PdfiumError:
        return Page(number=number, height=0, fragments=[], refusal=f"the text of page {number} is damaged")
    try:
        count = text.count_chars()
        if count > PAGE_CHARACTERS_MAX:
            reason = f"page {number} has {count} characters; the limit is {PAGE_CHARACTERS_MAX}"
            return Page(number=number, height=0, fragments=[], refusal=reason)
        characters = [pdfium_c.FPDFText_GetUnicode(text.raw, index) for index in range(count)]
        fragments = list(_fragments(text.raw, characters))
        if _is_unreadable(characters):
            reason = f"the text of page {number} cannot be decoded: its fonts do not name their characters"
            return Page(number=number, height=0, fragments=[], refusal=reason)
        is_picture = sum(len(each.text) for each in fragments) < _STAMP_CHARACTERS_MAX and _has_picture(page)
        return Page(number=number, height=page.get_height(), fragments=fragments, is_picture=is_picture)
    finally:
        text.close()


def _has_picture(page: Any) -> bool:
    """Whether a page shows something that may be text: an image, or many drawn shapes."""
    paths = 0
    for index, each in enumerate(page.get_objects(max_depth=3)):
        if each.type == pdfium_c.FPDF_PAGEOBJ_IMAGE:
            return True
        paths += each.type == pdfium_c.FPDF_PAGEOBJ_PATH
        if index >= _OBJECTS_MAX:
            break
    return paths >= _PATHS_MIN


def _is_unreadable(characters: list[int]) -> bool:
    written = [each for each in characters if each > 0x20]
    unreadable = sum(each in _PRIVATE or each == 0xFFFD for each in written)
    return unreadable > _UNREADABLE_SHARE_MAX * len(written)


def _fragments(text: Any, characters: list[int]) -> Iterator[Fragment]:
    """Yield the words, joined as long as they follow each other on a line without a wide blank."""
    box = pdfium_c.FS_RECTF()
    pending: Fragment | None = None
    for start, end in _words(characters):
        word = _decode(characters[start:end])
        if not word:
            continue
        if not pdfium_c.FPDFText_GetLooseCharBox(text, start, ctypes.byref(box)):
            continue
        left, right, bottom, top = box.left, box.right, box.bottom, box.top
        if end - start > 1 and pdfium_c.FPDFText_GetLooseCharBox(text, end - 1, ctypes.byref(box)):
            left, right = min(left, box.left), max(right, box.right)
            if box.top - box.bottom < top - bottom:  # a sign of another font may be much taller
                bottom, top = box.bottom, box.top
        found = Fragment(text=word, left=left, right=right, bottom=bottom, top=top)
        if pending is not None and (joined := pending.followed_by(found, gap_max=_GAP)) is not None:
            pending = joined
            continue
        if pending is not None:
            yield pending
        pending = found
    if pending is not None:
        yield pending


def _words(characters: list[int]) -> Iterator[tuple[int, int]]:
    start: int | None = None
    for index, code in enumerate(characters):
        is_blank = (code <= 0x20 and code != 0x02) or code in (0xA0, 0x3000, 0x2028, 0x2029)
        if is_blank:
            if start is not None:
                yield start, index
            start = None
        elif start is None:
            start = index
    if start is not None:
        yield start, len(characters)


def _decode(codes: list[int]) -> str:
    """The word of these characters, with ligatures and radicals as the letters that people type."""
    pieces = []
    for code in codes:
        character = chr(code) if 0 < code < 0x110000 else ""
        if character in _SOFT_HYPHENS:
            character = HYPHEN
        elif 0xFB00 <= code <= 0xFB06 or 0x2E80 <= code <= 0x2FDF:
            character = unicodedata.normalize("NFKC", character)
        pieces.append(character)
    word = "".join(pieces)
    if any(0xD800 <= code < 0xE000 for code in codes):
        word = word.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return "".join(each for each in word if unicodedata.category(each) != "Cc")
