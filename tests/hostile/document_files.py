"""Documents that ask for too much: entities, loops, depth, size; and documents that carry programs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.hostile.kinds import CANARY, WORDS, Hostile, content
from tests.hostile.samples import SAMPLES, epub, html, pdf, replaced, zipped

_MB = 1_000_000
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LAUGHS = "<!DOCTYPE r [<!ENTITY a0 'ha ha ha '>{}]>".format(
    "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 11))
)
_QUADRATIC = f"<!DOCTYPE r [<!ENTITY q '{'q' * 50_000}'>]>"


def document_files(canary: Path, port: int) -> Iterator[Hostile]:
    """`canary` is a file that no document may hold; at `port` on loopback, nobody may call."""
    yield from _entities(canary, port)
    yield from _pdf_loops()
    yield from _deep()
    yield from _large()
    yield from _sheets()
    yield from _with_programs()


def _doctypes(canary: Path, port: int) -> dict[str, tuple[str, str]]:
    """Document type and reference of each attack."""
    return {
        "file": (f'<!DOCTYPE r [<!ENTITY x SYSTEM "{canary.as_uri()}">]>', "&x;"),
        "http": (f'<!DOCTYPE r [<!ENTITY x SYSTEM "http://127.0.0.1:{port}/x">]>', "&x;"),
        "parameter": (f'<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1:{port}/p.dtd"> %p;]>', ""),
        "dtd": (f'<!DOCTYPE r SYSTEM "http://127.0.0.1:{port}/r.dtd">', ""),
        "laughs": (_LAUGHS, "&a10;"),
        "quadratic": (_QUADRATIC, "&q;" * 20_000),
        "loop": ("<!DOCTYPE r [<!ENTITY a '&b;'><!ENTITY b '&a;'>]>", "&a;"),
    }


def _in_docx(doctype: str, text: str) -> bytes:
    body = f"<w:body><w:p><w:r><w:t>{WORDS} {text}</w:t></w:r></w:p></w:body>"
    document = f'<?xml version="1.0"?>{doctype}<w:document xmlns:w="{_W}">{body}</w:document>'
    return replaced(SAMPLES["docx"](), {"word/document.xml": document})


def _in_xlsx(doctype: str, text: str) -> bytes:
    cell = f'<c r="A1" t="inlineStr"><is><t>{WORDS} {text}</t></is></c>'
    sheet = f'{doctype}<worksheet xmlns="{_S}"><sheetData><row r="1">{cell}</row></sheetData></worksheet>'
    return replaced(SAMPLES["xlsx"](), {"xl/worksheets/sheet1.xml": f'<?xml version="1.0"?>{sheet}'})


def _in_epub(doctype: str, text: str) -> bytes:
    body = f"<h1>Refunds</h1><p>{WORDS} {text}</p>"
    return epub(f'<?xml version="1.0"?>{doctype}<html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>')


def _in_xml(doctype: str, text: str) -> bytes:
    return f'<?xml version="1.0"?>{doctype}<r><rule>{WORDS} {text}</rule></r>'.encode()


def _in_html(doctype: str, text: str) -> bytes:
    return f'<?xml version="1.0"?>{doctype}'.encode() + html(f"<p>{text}</p>").replace(b"<!doctype html>", b"")


def _in_pptx(doctype: str, text: str) -> bytes:
    package = SAMPLES["pptx"]()
    import zipfile

    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        slide = archive.read("ppt/slides/slide1.xml").decode()
    start = slide.index("<p:sld")
    changed = f'<?xml version="1.0"?>{doctype}{slide[start:]}'.replace("Refunds", f"Refunds {text}", 1)
    return replaced(package, {"ppt/slides/slide1.xml": changed})


def _entities(canary: Path, port: int) -> Iterator[Hostile]:
    """Refused, or read without what the entity stands for."""
    makers: dict[str, Callable[[str, str], bytes]] = {
        "docx": _in_docx, "xlsx": _in_xlsx, "epub": _in_epub, "xml": _in_xml, "html": _in_html, "pptx": _in_pptx,
    }  # fmt: skip
    for ending, maker in makers.items():
        for kind, (doctype, reference) in _doctypes(canary, port).items():
            yield Hostile(
                name=f"entity-{kind}.{ending}",
                make=content(partial(maker, doctype, reference)),
                format=ending,
                is_quick=kind in {"file", "laughs"},
            )
    inclusion = f'<img src="http://127.0.0.1:{port}/i.png"><iframe src="{canary.as_uri()}"></iframe>'
    script = f"<script>fetch('http://127.0.0.1:{port}/s')</script><link rel=stylesheet href=http://127.0.0.1:{port}/c>"
    yield Hostile(
        name="fetches.html", make=content(html(inclusion + script)), format="html", holds=WORDS, is_quick=True
    )
    include = f"Refunds\n=======\n\n{WORDS}\n\n.. include:: {canary}\n\n.. raw:: html\n   :file: {canary}\n\n"
    include += f".. raw:: html\n   :url: http://127.0.0.1:{port}/r\n\n.. csv-table::\n   :file: {canary}\n"
    yield Hostile(name="includes.rst", make=content(include.encode()), format="rst", is_quick=True)
    link = f'<xi:include href="{canary.as_uri()}" parse="text"/>'
    rules = f'<?xml version="1.0"?><r xmlns:xi="http://www.w3.org/2001/XInclude"><rule>{WORDS}</rule>{link}</r>'
    yield Hostile(name="xinclude.xml", make=content(rules.encode()), format="xml")


def _pdf(*objects: str, root: int = 1) -> bytes:
    """A PDF of these objects, numbered from 1."""
    body, places = b"%PDF-1.7\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    count = len(objects) + 1
    trailer = f"trailer\n<</Size {count}/Root {root} 0 R>>\nstartxref\n{len(body)}\n%%EOF\n".encode()
    return body + f"xref\n0 {count}\n0000000000 65535 f \n".encode() + table + trailer


def _pdf_loops() -> Iterator[Hostile]:
    catalog = "<</Type/Catalog/Pages 2 0 R>>"
    page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]{}>>"
    loops = {
        "kids-self": _pdf(catalog, "<</Type/Pages/Count 1/Kids[2 0 R]>>"),
        "kids-circle": _pdf(catalog, "<</Type/Pages/Count 1/Kids[3 0 R]>>", "<</Type/Pages/Count 1/Kids[2 0 R]>>"),
        "count-huge": _pdf(catalog, "<</Type/Pages/Count 2147483647/Kids[3 0 R]>>", page.format("")),
        "count-negative": _pdf(catalog, "<</Type/Pages/Count -5/Kids[3 0 R]>>", page.format("")),
        "outline-circle": _pdf(
            "<</Type/Catalog/Pages 2 0 R/Outlines 4 0 R>>", "<</Type/Pages/Count 1/Kids[3 0 R]>>", page.format(""),
            "<</First 5 0 R/Last 5 0 R/Count 1>>", "<</Title(x)/Parent 4 0 R/Next 5 0 R/First 5 0 R/Last 5 0 R>>",
        ),
        "contents-self": _pdf(catalog, "<</Type/Pages/Count 1/Kids[3 0 R]>>", page.format("/Contents 3 0 R")),
        "form-self": _pdf(
            catalog, "<</Type/Pages/Count 1/Kids[3 0 R]>>",
            page.format("/Contents 5 0 R/Resources<</XObject<</F 4 0 R>>>>"),
            "<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 4 0 R>>>>/Length 4>>\n"
            "stream\n/F Do\nendstream",
            "<</Length 5>>\nstream\n/F Do\nendstream",
        ),
        "no-root": _pdf("<</Type/Nothing>>"),
        "page-huge": _pdf(
            catalog, "<</Type/Pages/Count 1/Kids[3 0 R]>>", page.format("").replace("600 800", "1e30 1e30")
        ),
        "length-huge": _pdf(
            catalog, "<</Type/Pages/Count 1/Kids[3 0 R]>>", page.format("/Contents 4 0 R"),
            "<</Length 9999999999>>\nstream\nBT ET\nendstream",
        ),
    }  # fmt: skip
    for name, data in loops.items():
        yield Hostile(
            name=f"{name}.pdf",
            make=content(data),
            format="pdf",
            reason=".",
            is_quick=name in {"kids-self", "form-self"},
        )
    flate = _flate_bomb()
    yield Hostile(name="stream-bomb.pdf", make=content(flate), format="pdf", reason=".")
    script = _pdf(
        "<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>",
        "<</Type/Pages/Count 1/Kids[3 0 R]>>", page.format(""),
    )  # fmt: skip
    yield Hostile(name="script.pdf", make=content(script), format="pdf", reason=".")
    yield Hostile(name="pages-10000.pdf", make=content(partial(pdf, 10_000)), format="pdf", holds="Page 10000.")


def _flate_bomb() -> bytes:
    import zlib

    packed = zlib.compress(b" " * (400 * _MB), 9)
    head = _pdf(
        "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Count 1/Kids[3 0 R]>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R>>",
        f"<</Length {len(packed)}/Filter/FlateDecode>>\nstream\nHERE\nendstream",
    )  # fmt: skip
    return head.replace(b"HERE", packed)


def _deep() -> Iterator[Hostile]:
    """Nested far beyond what any program writes."""
    tables = "<table><tr><td>" * 5_000 + "x"
    yield Hostile(name="deep-divs.html", make=content(html("<div>" * 100_000 + "x")), format="html", is_quick=True)
    yield Hostile(name="deep-tables.html", make=content(html(tables)), format="html")
    yield Hostile(name="deep-lists.html", make=content(html("<ul><li>" * 50_000 + "x")), format="html")
    yield Hostile(name="wide.html", make=content(lambda: html("<p>word</p>" * 500_000)), format="html")
    yield Hostile(name="attributes.html", make=content(lambda: html(f"<p {'a=b ' * 500_000}>x</p>")), format="html")
    yield Hostile(
        name="never-closed.html", make=content(b"<!doctype html><html><!--" + b"x" * 5_000_000), format="html"
    )
    yield Hostile(
        name="deep.xml", make=content(b"<?xml version='1.0'?>" + b"<a>" * 200_000), format="xml", is_quick=True
    )
    nested = b'<?xml version="1.0"?>' + b"<a>" * 100_000 + WORDS.encode() + b"</a>" * 100_000
    yield Hostile(name="deep-closed.xml", make=content(nested), format="xml")
    yield Hostile(name="deep.ipynb", make=content(b"[" * 200_000), format="ipynb", reason=".", is_quick=True)
    cells = b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    yield Hostile(name="deep-cells.ipynb", make=content(cells), format="ipynb", reason=".")
    for name, data in (("a-list", []), ("no-cells", {"nbformat": 4}), ("cells-text", {"nbformat": 4, "cells": "x"}),
                       ("cell-null", {"nbformat": 4, "cells": [None, 1, {"cell_type": 7, "source": {}}]})):  # fmt: skip
        yield Hostile(name=f"{name}.ipynb", make=content(json.dumps(data).encode()), format="ipynb", reason=".")
    yield Hostile(name="deep-mime.eml", make=content(_deep_mime(2_000)), format="eml", is_quick=True)
    forwarded = b"Subject: x\nContent-Type: message/rfc822\n\n" * 2_000 + WORDS.encode()
    yield Hostile(name="deep-forwards.eml", make=content(forwarded), format="eml")
    headers = b"".join(b"X-H%d: %s\n" % (n, b"v" * 50) for n in range(100_000)) + b"\n" + WORDS.encode()
    yield Hostile(name="many-headers.eml", make=content(b"Subject: x\nFrom: a@b\nTo: c@d\n" + headers), format="eml")
    long_header = b"Subject: " + b"=?utf-8?q?x?= " * 200_000 + b"\n\n" + WORDS.encode()
    yield Hostile(name="long-header.eml", make=content(long_header), format="eml")
    yield Hostile(name="deep.rst", make=content(_deep_rst()), format="rst")
    substitution = b".. |a| replace:: |b| |b|\n.. |b| replace:: |a| |a|\n\n|a|\n" + WORDS.encode()
    yield Hostile(name="loop.rst", make=content(substitution), format="rst")
    table = "<w:tbl><w:tr><w:tc>{}</w:tc></w:tr></w:tbl>"
    inner = "<w:p/>"
    for _ in range(1_500):
        inner = table.format(inner)
    document = f'<?xml version="1.0"?><w:document xmlns:w="{_W}"><w:body>{inner}</w:body></w:document>'
    deep = lambda: replaced(SAMPLES["docx"](), {"word/document.xml": document})  # noqa: E731
    yield Hostile(name="deep-tables.docx", make=content(deep), format="docx")


def _deep_mime(depth: int) -> bytes:
    head = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(depth))
    return (
        f"From: a@example.org\nTo: b@example.org\nSubject: Deep\n{head}Content-Type: text/plain\n\n{WORDS}\n".encode()
    )


def _deep_rst() -> bytes:
    return "".join(f"{'  ' * n}* item\n\n" for n in range(2_000)).encode()


def _spaces(start: bytes, end: bytes, size: int, path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(start)
        for _ in range(size // _MB):
            stream.write(b" " * _MB)
        stream.write(end)


def _large() -> Iterator[Hostile]:
    """More than is read, or than fits."""
    for ending in ("html", "xml", "eml", "ipynb", "rst", "pdf", "mbox", "docx"):
        start = SAMPLES[ending]()[:200] if ending in {"eml", "mbox"} else b""
        yield Hostile(
            name=f"spaces-1gb.{ending}", make=partial(_spaces, start, b"", 1_000 * _MB), format=ending, reason="."
        )
    yield Hostile(
        name="spaces-50mb.html", make=partial(_spaces, b"<!doctype html><html>", b"x", 50 * _MB), format="html"
    )
    yield Hostile(name="one-line-60mb.html", make=content(lambda: html("x" * (60 * _MB))), format="html")
    yield Hostile(
        name="spaces-100mb.mbox", make=partial(_spaces, b"From a\nSubject: x\n\n", b"", 100 * _MB), format="mbox"
    )
    blanks = b"From a@b Mon Mar  2 10:00:00 2026\nSubject: x\n\n\n" * 20_000
    yield Hostile(name="blank-mails.mbox", make=content(blanks), format="mbox")
    image = b'{"nbformat":4,"nbformat_minor":5,"metadata":{},"cells":[{"cell_type":"code","metadata":{},"source":"x=1",'
    image += b'"outputs":[{"output_type":"display_data","metadata":{},"data":{"image/png":"' + b"A" * (40 * _MB)
    yield Hostile(name="image-40mb.ipynb", make=content(lambda: image + b'"}}]}]}'), format="ipynb")
    binary = bytes(range(256)) * 4_000
    for ending in ("html", "xml", "eml", "mbox", "ipynb", "rst"):
        yield Hostile(name=f"binary.{ending}", make=content(binary), format=ending)
        nul = SAMPLES[ending]().replace(b"Refunds", b"Ref\0unds")
        yield Hostile(name=f"nul.{ending}", make=content(nul), format=ending)
    for codec in ("utf-16", "utf-32", "utf-7"):
        yield Hostile(name=f"{codec}.html", make=content(html().decode().encode(codec)), format="html")


def _sheets() -> Iterator[Hostile]:
    """A sheet that claims, or has, more cells than anybody fills."""

    def sheet(body: str, dimension: str = "A1:XFD1048576") -> bytes:
        text = f'<worksheet xmlns="{_S}"><dimension ref="{dimension}"/>{body}</worksheet>'
        return replaced(SAMPLES["xlsx"](), {"xl/worksheets/sheet1.xml": f'<?xml version="1.0"?>{text}'})

    cell = '<c r="{}" t="inlineStr"><is><t>{}</t></is></c>'
    one = f'<sheetData><row r="1">{cell.format("A1", WORDS)}</row></sheetData>'
    far = f'<sheetData><row r="1048576">{cell.format("XFD1048576", WORDS)}</row></sheetData>'
    merged = "<mergeCells><mergeCell ref='A1:XFD1048576'/></mergeCells>"
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{n}</v></c></row>' for n in range(1, 200_001))
    for name, body in (
        ("claims", one),
        ("far", far),
        ("merged", one + merged),
        ("formulas", one.replace("<is>", "<f>A1</f><is>")),
    ):
        yield Hostile(
            name=f"huge-{name}.xlsx",
            make=content(partial(sheet, body)),
            format="xlsx",
            holds="Refunds",
            is_quick=name == "far",
        )
    yield Hostile(name="rows-200000.xlsx", make=content(lambda: sheet(f"<sheetData>{rows}</sheetData>")), format="xlsx")
    negative = '<sheetData><row r="-1"><c r="A0"><v>1</v></c></row><row r="x"><c r="??"><v>1</v></c></row></sheetData>'
    yield Hostile(name="odd-places.xlsx", make=content(partial(sheet, negative)), format="xlsx")
    many = lambda: replaced(SAMPLES["xlsx"](), {f"xl/worksheets/sheet{n}.xml": "<x/>" for n in range(2, 3_000)})  # noqa: E731
    yield Hostile(name="many-parts.xlsx", make=content(many), format="xlsx", holds="Refunds")


def _with_programs() -> Iterator[Hostile]:
    """Macros are read over."""
    for ending, folder in (("docx", "word"), ("xlsx", "xl"), ("pptx", "ppt")):
        made = lambda ending=ending, folder=folder: replaced(  # type: ignore[misc]  # noqa: E731
            SAMPLES[ending](), {f"{folder}/vbaProject.bin": b"\xd0\xcf\x11\xe0 Sub AutoOpen() Shell CANARY"}
        )
        yield Hostile(
            name=f"macro.{ending[:3]}m", make=content(made), format=ending, holds="Refunds", is_quick=ending == "docx"
        )
    formula = f'=WEBSERVICE("http://127.0.0.1/{CANARY[:6]}")'
    from openpyxl import Workbook

    book, stream = Workbook(), io.BytesIO()
    book.active.append([WORDS, formula, "=cmd|' /C calc'!A0"])  # type: ignore[union-attr]
    book.save(stream)
    yield Hostile(name="formula.xlsx", make=content(stream.getvalue()), format="xlsx", holds="Refunds")
    relations = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
    outside = relations.format(
        '<Relationship Id="r1" TargetMode="External" Target="file:///etc/passwd" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate"/>'
    )
    made = lambda: replaced(SAMPLES["docx"](), {"word/_rels/settings.xml.rels": outside})  # noqa: E731
    yield Hostile(name="template.docx", make=content(made), format="docx", holds="Refunds")
    for kind, target in (("parent", "../../etc/passwd"), ("absolute", "/etc/passwd"), ("self", "document.xml")):
        link = relations.format(
            f'<Relationship Id="rId1" Target="{target}" '
            'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"/>'
        )
        made = lambda link=link: replaced(SAMPLES["docx"](), {"word/_rels/document.xml.rels": link})  # type: ignore[misc]  # noqa: E731
        yield Hostile(name=f"relation-{kind}.docx", make=content(made), format="docx")
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><manifest>'
        '<item id="c" href="../../../etc/passwd" media-type="application/xhtml+xml"/></manifest>'
        "<spine>{}</spine></package>"
    )
    for kind, spine in (("parent", '<itemref idref="c"/>'), ("many", '<itemref idref="c"/>' * 100_000), ("none", "")):
        yield Hostile(
            name=f"spine-{kind}.epub",
            make=content(partial(epub, None, package.format(spine))),
            format="epub",
            reason=".",
        )
    container = {"mimetype": "application/epub+zip", "META-INF/container.xml": "<container/>"}
    yield Hostile(name="no-book.epub", make=content(lambda: zipped(container)), format="epub", reason=".")
