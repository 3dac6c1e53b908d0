"""One small, sound file of each format, as bytes. The hostile ones are made from them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache

from tests.hostile.kinds import WORDS

RELS = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def zipped(members: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def replaced(package: bytes, members: Mapping[str, bytes | str]) -> bytes:
    """A ZIP archive with some members replaced or added."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        return zipped({**{name: archive.read(name) for name in archive.namelist()}, **members})


def docx() -> bytes:
    import docx as library

    document, stream = library.Document(), io.BytesIO()
    document.add_heading("Refunds", 1)
    document.add_paragraph(WORDS)
    document.save(stream)
    return stream.getvalue()


def pptx() -> bytes:
    import pptx as library

    presentation, stream = library.Presentation(), io.BytesIO()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "Refunds"
    slide.placeholders[1].text = WORDS
    presentation.save(stream)
    return stream.getvalue()


def xlsx() -> bytes:
    from openpyxl import Workbook

    book, stream = Workbook(), io.BytesIO()
    for row in (("case", "rule"), (1, WORDS)):
        book.active.append(row)  # type: ignore[union-attr]
    book.save(stream)
    return stream.getvalue()


def pdf(pages: int = 2) -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    stream = io.BytesIO()
    canvas = Canvas(stream)
    for page in range(pages):
        canvas.drawString(72, 720, f"{WORDS} Page {page + 1}.")
        canvas.showPage()
    canvas.save()
    return stream.getvalue()


def epub(chapter: str | None = None, package: str | None = None) -> bytes:
    chapter = (
        chapter or f'<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>Refunds</h1><p>{WORDS}</p></body></html>'
    )
    container = (
        '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
        'full-path="a.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    package = package or (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="i">x</dc:identifier>'
        "<dc:title>Book</dc:title><dc:language>en</dc:language></metadata><manifest>"
        '<item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="c"/></spine></package>'
    )
    members = {"META-INF/container.xml": container, "a.opf": package, "c.xhtml": chapter}
    return zipped({"mimetype": "application/epub+zip", **members}, zipfile.ZIP_STORED)


def html(body: str = "") -> bytes:
    text = f"<p>{WORDS} The clerk signs the form and keeps a copy for the yearly audit of the shop.</p>" * 3
    return f"<!doctype html><html lang=en><head><title>Refunds</title></head><body>{text}{body}</body></html>".encode()


def eml() -> bytes:
    head = "From: a@example.org\nTo: b@example.org\nSubject: Refunds\nDate: Mon, 02 Mar 2026 10:00:00 +0000\n"
    return f"{head}Message-ID: <1@example.org>\n\n{WORDS}\n".encode()


def mbox() -> bytes:
    return b"".join(b"From a@example.org Mon Mar  2 10:00:00 2026\n" + eml() + b"\n" for _ in range(3))


def ipynb() -> bytes:
    cell = {"cell_type": "markdown", "metadata": {}, "source": [f"# Refunds\n\n{WORDS}"]}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}).encode()


def rst() -> bytes:
    return f"Refunds\n=======\n\n{WORDS}\n".encode()


def xml() -> bytes:
    return f'<?xml version="1.0"?><rules><rule>{WORDS}</rule></rules>'.encode()


def py() -> bytes:
    return f'def refund(parcel):\n    """{WORDS}"""\n    return 9\n'.encode()


def tar(compress: Callable[[bytes], bytes] = bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("a.txt", "b.md"):
            info = tarfile.TarInfo(name)
            info.size = len(WORDS)
            archive.addfile(info, io.BytesIO(WORDS.encode()))
    return compress(stream.getvalue())


SAMPLES: Mapping[str, Callable[[], bytes]] = {
    "docx": cache(docx),
    "pptx": cache(pptx),
    "xlsx": cache(xlsx),
    "pdf": cache(pdf),
    "epub": cache(epub),
    "html": cache(html),
    "eml": cache(eml),
    "mbox": cache(mbox),
    "ipynb": cache(ipynb),
    "rst": cache(rst),
    "xml": cache(xml),
    "py": cache(py),
    "zip": cache(lambda: zipped({"a.txt": WORDS, "b.md": WORDS})),
    "tar": cache(tar),
    "tar.gz": cache(lambda: tar(gzip.compress)),
}
BY_ENDING = {"tar.gz": "tar", "py": "code"}  # format of an ending, where it is not the same
