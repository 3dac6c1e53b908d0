"""Writes PDF files for the tests with reportlab."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

WIDTH, HEIGHT = A4
MARGIN = 72
SIZE = 11
STEP = 14


def font_of(text: str) -> str:
    if text.isascii():
        return "Helvetica"
    if "STSong-Light" not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    return "STSong-Light"


def wrap(text: str, width: float, size: float = SIZE) -> list[str]:
    """Break a text at blanks, Chinese anywhere."""
    lines, line = [], ""
    for word in text.split(" ") if text.isascii() else list(text):
        longer = f"{line} {word}" if line and text.isascii() else line + word
        if line and pdfmetrics.stringWidth(longer, font_of(text), size) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]


@dataclass
class PdfWriter:
    path: Path
    title: str = ""
    author: str = ""
    encrypt: Any = None
    header: str = ""  # {page} is its number
    footer: str = ""
    canvas: Canvas = field(init=False)
    y: float = HEIGHT - MARGIN
    page: int = 0

    def __post_init__(self) -> None:
        self.canvas = Canvas(str(self.path), pagesize=A4, invariant=1, encrypt=self.encrypt)
        if self.title:
            self.canvas.setTitle(self.title)
        if self.author:
            self.canvas.setAuthor(self.author)

    def start_page(self) -> None:
        if self.page:
            self.canvas.showPage()
        self.page += 1
        self.y = HEIGHT - MARGIN
        for text, y in ((self.header, HEIGHT - 40), (self.footer, 30)):
            if text:
                self.line(text.format(page=self.page), MARGIN, y, 9)

    def line(self, text: str, x: float, y: float, size: float = SIZE) -> None:
        self.canvas.setFont(font_of(text), size)
        self.canvas.drawString(x, y, text)

    def heading(self, text: str, level: int, size: float = 14) -> None:
        self.y -= 1.5 * STEP
        self.canvas.bookmarkPage(f"{self.page}-{text}")
        self.canvas.addOutlineEntry(text, f"{self.page}-{text}", level)
        self.line(text, MARGIN, self.y, size)
        self.y -= 1.5 * STEP

    def paragraph(self, text: str, *, x: float = MARGIN, width: float = WIDTH - 2 * MARGIN) -> None:
        self.lines(wrap(text, width), x=x)
        self.y -= 0.8 * STEP

    def lines(self, lines: Sequence[str], *, x: float = MARGIN) -> None:
        for line in lines:
            self.line(line, x, self.y)
            self.y -= STEP

    def save(self) -> Path:
        self.canvas.save()
        return self.path
