"""Members of ZIP and TAR archives, one after the other. No file is created under a name of the archive."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Final, Literal, cast
from zipfile import BadZipFile, ZipFile, ZipInfo

from winnow.indexer.readers.parser import Unparsable

READ_ERRORS: Final = (
    BadZipFile,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    tarfile.TarError,
    zlib.error,
)
_NAME_FLAG_UTF8: Final = 0x800
_ENCRYPTED: Final = 0x1
_LEAVES: Final = "its name leads out of the archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A member that is a file, or something that stands for one."""

    name: str  # path within the archive, with slashes
    open: Callable[[], IO[bytes]]  # may raise any of `READ_ERRORS`
    refusal: str | None = None  # why it must not be read


def zip_members(path: Path, *, members_max: int) -> Iterator[Found]:
    """Yield the files of a ZIP archive. Raises `Unparsable`."""
    try:
        archive = ZipFile(path)
    except READ_ERRORS as error:
        raise Unparsable(f"the ZIP archive is damaged or was cut off ({error})") from error
    with archive:
        if len(archive.infolist()) > members_max:
            raise Unparsable(f"the archive has more than {members_max} members")
        for info in archive.infolist():
            if info.is_dir():
                continue
            name, refusal = _safe_name(_zip_name(info))
            if info.flag_bits & _ENCRYPTED:
                refusal = "it is encrypted"
            elif stat.S_ISLNK(info.external_attr >> 16):
                refusal = "it is a link"
            yield Found(name=name, open=lambda info=info: archive.open(info), refusal=refusal)  # type: ignore[misc]


def tar_members(stream: BinaryIO, *, is_compressed: bool) -> Iterator[Found]:
    """Yield the files of a TAR archive; a compressed one is read from begin to end. Raises `Unparsable`."""
    mode: Literal["r|", "r:"] = "r|" if is_compressed else "r:"
    try:
        with tarfile.open(fileobj=stream, mode=mode, encoding="utf-8", errors="surrogateescape") as archive:
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                if info.isdir():
                    continue
                name, refusal = _safe_name(_as_text(info.name.encode("utf-8", "surrogateescape")))
                if not info.isfile():
                    refusal = "it is a link" if info.issym() or info.islnk() else "it is a device or a pipe"
                yield Found(name=name, open=lambda info=info: _tar_file(archive, info), refusal=refusal)  # type: ignore[misc]
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise Unparsable(f"the archive is damaged or was cut off ({error})") from error


@contextmanager
def decompressed(path: Path, method: str) -> Iterator[BinaryIO]:
    """Open a compressed file for reading."""
    match method:
        case "gz":
            with gzip.open(path, "rb") as stream:
                yield cast("BinaryIO", stream)
        case "bz2":
            with bz2.open(path, "rb") as stream:
                yield cast("BinaryIO", stream)
        case "xz":
            with lzma.open(path, "rb") as stream:
                yield cast("BinaryIO", stream)
        case _:
            import pyarrow as pa

            with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
                yield cast("BinaryIO", stream)


def _tar_file(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(info)
    if content is None:
        raise tarfile.TarError("not a file")
    return content


def _zip_name(info: ZipInfo) -> str:
    """The member's name; older programs write it in their system's encoding, without a mark."""
    if info.flag_bits & _NAME_FLAG_UTF8:
        return info.filename
    try:
        raw = info.filename.encode("cp437")
    except UnicodeEncodeError:
        return info.filename
    return _as_text(raw, otherwise="cp437")


def _as_text(raw: bytes, *, otherwise: str = "utf-8") -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        chinese = raw.decode("gb18030")
    except UnicodeDecodeError:
        return raw.decode(otherwise, "backslashreplace")
    is_chinese = all("\u3000" <= letter <= "\u9fff" or letter >= "\uff00" for letter in chinese if letter > "\x7f")
    return chinese if is_chinese else raw.decode(otherwise, "backslashreplace")


def _safe_name(name: str) -> tuple[str, str | None]:
    """The name with slashes, and why it must not be used."""
    slashed = name.replace("\\", "/")
    parts = [part for part in slashed.split("/") if part not in {"", "."}]
    is_absolute = slashed.startswith("/") or (len(slashed) > 1 and slashed[1] == ":" and slashed[0].isalpha())
    refusal = _LEAVES if is_absolute or ".." in parts else None
    return "/".join(parts) or "unnamed", refusal
