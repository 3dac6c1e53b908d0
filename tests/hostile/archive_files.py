"""Archives that unpack to too much, nest without end, or lead out of themselves."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator

from tests.hostile.kinds import WORDS, Hostile, content
from tests.hostile.samples import zipped

_BOMB = "may be a bomb"
_OUT = "leads out of the archive"
_MB = 1_000_000


def archive_files() -> Iterator[Hostile]:
    yield from _bombs()
    yield from _nested()
    yield from _odd_zip_members()
    yield from _tar_members()


def _zeros(size: int) -> bytes:
    return zipped({"zeros.txt": bytes(size)})


def _bombs() -> Iterator[Hostile]:
    zip_, tar = "zip", "tar"
    for name, made, quick in (
        ("bomb-1gb.zip", lambda: _zeros(1_000 * _MB), False),
        ("bomb-60mb.zip", lambda: _zeros(60 * _MB), True),
        ("bomb-many.zip", lambda: zipped({f"{n}.txt": bytes(2 * _MB) for n in range(40)}), False),
        ("bomb-overlapping.zip", lambda: _overlapping(400), True),
        ("bomb-lzma.zip", lambda: zipped({"z.txt": bytes(80 * _MB)}, zipfile.ZIP_LZMA), False),
        ("bomb-bzip2.zip", lambda: zipped({"z.txt": bytes(80 * _MB)}, zipfile.ZIP_BZIP2), False),
    ):
        yield Hostile(name=name, make=content(made), format=zip_, reason=f"{_BOMB}|damaged", is_quick=quick)
    for name, compress, quick in (
        ("bomb.txt.gz", gzip.compress, True), ("bomb.txt.bz2", bz2.compress, False),
        ("bomb.txt.xz", lzma.compress, False),
    ):  # fmt: skip
        made = lambda compress=compress: compress(bytes(80 * _MB))  # type: ignore[misc]  # noqa: E731
        yield Hostile(name=name, make=content(made), format=zip_, reason=_BOMB, is_quick=quick)
    yield Hostile(
        name="bomb.tar.gz",
        make=content(lambda: gzip.compress(_tar(("zeros.txt", bytes(80 * _MB))))),
        format=tar,
        reason=_BOMB,
    )
    sparse = lambda: _tar_of(_info("sparse.txt", size=1 << 40), b"")  # noqa: E731
    yield Hostile(name="claims-1tb.tar", make=content(sparse), format=tar, reason=".", is_quick=True)
    for ending, part in (("docx", "word/document.xml"), ("xlsx", "xl/workbook.xml"), ("pptx", "ppt/presentation.xml")):
        made = lambda part=part: zipped({"[Content_Types].xml": "<Types/>", part: b" " * (300 * _MB)})  # type: ignore[misc]  # noqa: E731
        yield Hostile(name=f"bomb.{ending}", make=content(made), format=ending, reason=_BOMB, is_quick=ending == "docx")
    book = {"mimetype": "application/epub+zip", "META-INF/container.xml": b" " * (300 * _MB)}
    yield Hostile(name="bomb.epub", make=content(lambda: zipped(book)), format="epub", reason=_BOMB)


def _overlapping(count: int) -> bytes:
    """Many entries of the central directory that share one packed member of a megabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(_MB)) + packer.flush()
    checksum = zlib.crc32(bytes(_MB))
    name = b"0.txt"
    head = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0, checksum, len(packed), _MB, len(name), 0) + name
    entries = b"".join(
        struct.pack(
            "<4sHHHHHHIIIHHHHHII",
            b"PK\1\2",
            20,
            20,
            0,
            8,
            0,
            0,
            checksum,
            len(packed),
            _MB,
            len(name),
            0,
            0,
            0,
            0,
            0,
            0,
        )
        + name
        for _ in range(count)
    )
    start = len(head) + len(packed)
    return head + packed + entries + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(entries), start, 0)


def _nested() -> Iterator[Hostile]:
    def deep(depth: int) -> bytes:
        data = zipped({"a.txt": WORDS})
        for level in range(depth):
            data = zipped({f"level-{level}.zip": data})
        return data

    yield Hostile(name="nested-3.zip", make=content(lambda: deep(3)), format="zip", holds=WORDS, is_quick=True)
    yield Hostile(name="nested-4.zip", make=content(lambda: deep(4)), format="zip", reason="nested", is_quick=True)
    yield Hostile(name="nested-50.zip", make=content(lambda: deep(50)), format="zip", reason="nested")

    def wide() -> bytes:
        data = _zeros(4 * _MB)
        for _ in range(3):
            data = zipped({f"{n}.zip": data for n in range(16)})
        return data

    yield Hostile(name="nested-wide.zip", make=content(wide), format="zip", reason=_BOMB)
    compressed = lambda: gzip.compress(gzip.compress(gzip.compress(gzip.compress(gzip.compress(WORDS.encode())))))  # noqa: E731
    yield Hostile(name="nested.txt.gz.gz.gz.gz.gz", make=content(compressed), format="zip", reason="nested")


def _odd_zip_members() -> Iterator[Hostile]:
    names = {
        "absolute": "/etc/a.txt", "parent": "../../a.txt", "inside-parent": "x/../../a.txt", "drive": "C:\\a.txt",
        "backslashes": "..\\..\\a.txt",
    }  # fmt: skip
    for kind, name in names.items():
        made = lambda name=name: zipped({name: WORDS, "good.txt": WORDS})  # type: ignore[misc]  # noqa: E731
        yield Hostile(
            name=f"name-{kind}.zip",
            make=content(made),
            format="zip",
            reason=_OUT,
            holds=WORDS,
            is_quick=kind == "parent",
        )
    yield Hostile(
        name="name-long.zip",
        make=content(lambda: zipped({"x" * 60_000 + ".txt": WORDS, "good.txt": WORDS})),
        format="zip",
        reason="the id has",
        holds=WORDS,
        is_quick=True,
    )
    yield Hostile(
        name="name-control.zip",
        make=content(lambda: zipped({"a\nb\x1b[2J.txt": WORDS, "good.txt": WORDS})),
        format="zip",
        reason="control characters",
        holds=WORDS,
    )
    yield Hostile(name="name-gbk.zip", make=content(_gbk_names), format="zip", holds=WORDS, is_quick=True)
    yield Hostile(
        name="name-nul.zip",
        make=content(lambda: zipped({"aXb.txt": WORDS, "good.txt": WORDS}).replace(b"aXb.txt", b"a\0b.txt")),
        format="zip",
        holds=WORDS,
    )
    yield Hostile(name="name-twice.zip", make=content(_twice), format="zip", reason="already used", holds=WORDS)

    def link() -> bytes:
        info = zipfile.ZipInfo("link.txt")
        info.external_attr = 0o120777 << 16
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(info, "/etc/passwd")
            archive.writestr("good.txt", WORDS)
        return stream.getvalue()

    yield Hostile(name="link.zip", make=content(link), format="zip", reason="a link", holds=WORDS, is_quick=True)
    yield Hostile(
        name="wrong-checksum.zip",
        make=content(lambda: zipped({"a.txt": WORDS}, zipfile.ZIP_STORED).replace(b"Refunds", b"refunds")),
        format="zip",
        reason="damaged",
    )
    many = lambda: zipped({f"{n}.txt": b"" for n in range(100_001)}, zipfile.ZIP_STORED)  # noqa: E731
    yield Hostile(name="many-members.zip", make=content(many), format="zip", reason="more than 100000 members")
    yield Hostile(name="no-member.zip", make=content(lambda: zipped({})), format="zip", reason="nothing", is_quick=True)
    yield Hostile(
        name="pictures-only.zip", make=content(lambda: zipped({"a.png": b"\x89PNG"})), format="zip", reason="nothing"
    )


def _gbk_names() -> bytes:
    """As older programs on a Chinese system write them: no flag for UTF-8."""
    data = zipped({"aaaa.txt": WORDS})
    return data.replace(b"aaaa.txt", "合同".encode("gbk") + b".txt")


def _twice() -> bytes:
    return zipped({"a.txt": WORDS, "b.txt": WORDS}).replace(b"b.txt", b"a.txt")


def _info(name: str, *, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def _tar_of(info: tarfile.TarInfo, data: bytes) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT) + data


def _tar(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in members:
            archive.addfile(_info(name, size=len(data)), io.BytesIO(data))
    return stream.getvalue()


def _tar_members() -> Iterator[Hostile]:
    good = _tar(("good.txt", WORDS.encode()))
    odd: dict[str, tuple[Callable[[], tarfile.TarInfo], str]] = {
        "symlink": (lambda: _info("l.txt", kind=tarfile.SYMTYPE, target="/etc/passwd"), "a link"),
        "symlink-up": (lambda: _info("l.txt", kind=tarfile.SYMTYPE, target="../../x"), "a link"),
        "hardlink": (lambda: _info("l.txt", kind=tarfile.LNKTYPE, target="/etc/shadow"), "a link"),
        "device": (lambda: _info("d.txt", kind=tarfile.CHRTYPE), "a device or a pipe"),
        "block-device": (lambda: _info("d.txt", kind=tarfile.BLKTYPE), "a device or a pipe"),
        "pipe": (lambda: _info("p.txt", kind=tarfile.FIFOTYPE), "a device or a pipe"),
        "absolute": (lambda: _info("/etc/a.txt"), _OUT),
        "parent": (lambda: _info("../a.txt"), _OUT),
    }
    for name, (made, reason) in odd.items():
        yield Hostile(
            name=f"{name}.tar",
            make=content(lambda made=made: _tar_of(made(), b"") + good),  # type: ignore[misc]
            format="tar",
            reason=reason,
            holds=WORDS,
            is_quick=name in {"symlink", "device"},
        )
    link = _tar_of(_info("l.txt", kind=tarfile.SYMTYPE, target="x"), b"")
    many = link * 3_000 + good
    yield Hostile(name="many-links.tar", make=content(many), format="tar", reason="2980 more members", holds=WORDS)
    name = lambda: _tar_of(_info("caf\udce9.txt"), b"") + good  # noqa: E731
    yield Hostile(name="name-latin.tar", make=content(name), format="tar", holds=WORDS)
    long_name = lambda: _tar_of(_info("././@LongLink", kind=tarfile.GNUTYPE_LONGNAME, size=1 << 33), b"") + good  # noqa: E731
    yield Hostile(name="long-name-8gb.tar", make=content(long_name), format="tar", reason=".")
