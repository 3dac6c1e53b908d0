"""Sound files that were damaged: cut off, changed, emptied, encrypted, or named by another format's ending."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from tests.hostile.kinds import WORDS, Hostile, content
from tests.hostile.samples import BY_ENDING, SAMPLES, zipped

_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2_000
_CUTS = (0.02, 0.3, 0.6, 0.9, 0.99)
_WITH_MARKS = ("docx", "pptx", "xlsx", "pdf", "epub", "zip", "tar", "tar.gz")


def broken_files() -> Iterator[Hostile]:
    for ending in SAMPLES:
        yield from _cut(ending)
        yield from _changed(ending)
        name = BY_ENDING.get(ending, ending)
        yield Hostile(name=f"empty.{ending}", make=content(b""), format=name, reason=".", is_quick=True)
        yield Hostile(name=f"zeros.{ending}", make=content(bytes(5_000)), format=name, reason=".")
    yield from _encrypted()
    yield from _misnamed()


def _cut(ending: str) -> Iterator[Hostile]:
    """The first part of a file. A ZIP archive without its end is always refused."""
    for share in _CUTS:

        def made(share: float = share) -> bytes:
            return SAMPLES[ending]()[: int(len(SAMPLES[ending]()) * share)]

        reason = "damaged or was cut off" if ending in {"docx", "pptx", "xlsx", "epub", "zip"} else None
        yield Hostile(
            name=f"cut-{share}.{ending}",
            make=content(made),
            format=BY_ENDING.get(ending, ending),
            reason=reason,
            is_quick=share == 0.6,
        )


def _changed(ending: str) -> Iterator[Hostile]:
    """Bytes changed at random: read, or a reject, and never a crash of the run."""
    for seed in range(3):

        def made(seed: int = seed) -> bytes:
            changed, lots = bytearray(SAMPLES[ending]()), random.Random(seed)
            for _ in range(max(3, len(changed) // 200)):
                changed[lots.randrange(len(changed))] = lots.randrange(256)
            return bytes(changed)

        yield Hostile(name=f"changed-{seed}.{ending}", make=content(made), format=BY_ENDING.get(ending, ending))


def _encrypted() -> Iterator[Hostile]:
    for ending in ("docx", "xlsx", "pptx"):
        yield Hostile(
            name=f"encrypted.{ending}",
            make=content(_OLE2),
            format=ending,
            reason="an encrypted or pre-2007 Office file",
            is_quick=ending == "docx",
        )
    yield Hostile(name="encrypted.pdf", make=_encrypted_pdf, format="pdf", reason="password|encrypted", is_quick=True)

    def encrypted_member() -> bytes:
        data = bytearray(zipped({"a.txt": WORDS, "b.txt": WORDS}))
        data[6] |= 1  # the flag of the first member, in its header and in the central directory
        data[data.index(b"PK\x01\x02") + 8] |= 1
        return bytes(data)

    yield Hostile(
        name="encrypted.zip",
        make=content(encrypted_member),
        format="zip",
        reason="encrypted",
        holds=WORDS,
        is_quick=True,
    )


def _encrypted_pdf(path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    path.write_bytes(SAMPLES["pdf"]())
    writer = PdfWriter(clone_from=PdfReader(path))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(path)


def _misnamed() -> Iterator[Hostile]:
    """Content counts before the ending; what no parser reads says what it is."""
    for of, ending in (
        ("html", "pdf"), ("pdf", "docx"), ("docx", "pdf"), ("docx", "zip"), ("pdf", "html"), ("zip", "docx"),
        ("pptx", "xlsx"), ("html", "docx"), ("pdf", "zip"), ("tar.gz", "zip"), ("mbox", "eml"), ("xlsx", "pptx"),
        ("epub", "zip"), ("tar", "zip"), ("html", "xml"), ("eml", "mbox"),
    ):  # fmt: skip
        yield Hostile(
            name=f"really-{of.replace('.', '-')}.{ending}",
            make=content(SAMPLES[of]),
            format=BY_ENDING.get(of, of),
            holds="Refunds are paid",
            is_quick=of in {"html", "zip"},
        )
    for kind, start in (
        ("PNG", b"\x89PNG\r\n\x1a\n"), ("JPEG", b"\xff\xd8\xff\xe0"), ("Rich Text", b"{\\rtf1 hello}"),
        ("7-Zip", b"7z\xbc\xaf\x27\x1c\0\4"), ("RAR", b"Rar!\x1a\x07\x01\x00"), ("SQLite", b"SQLite format 3\0"),
        ("program", b"\x7fELF\2\1\1"),
    ):  # fmt: skip
        yield Hostile(
            name=f"really-{kind.replace(' ', '-')}.pdf",
            make=content(start + bytes(500)),
            format="pdf",
            reason=kind,
            is_quick=kind == "PNG",
        )
    for ending in _WITH_MARKS:
        yield Hostile(
            name=f"prose.{ending}",
            make=content(f"{WORDS}\n".encode() * 20),
            format=BY_ENDING.get(ending, ending),
            reason="does not match its ending",
        )
    odt = {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<x/>"}
    yield Hostile(name="really-odt.docx", make=content(lambda: zipped(odt)), format="docx", reason="OpenDocument")
