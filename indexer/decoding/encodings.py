"""In which encoding is this text?

    1. a byte order mark says so: UTF-8, UTF-16 or UTF-32
    2. what is valid UTF-8 and not mere ASCII is UTF-8
    3. `--encoding`, where it is given
    4. ASCII without NUL is UTF-8, unless it switches to Japanese as ISO-2022-JP does
    5. NULs in every other place: UTF-16, unless the rest is ASCII and they are at most a quarter
    6. detected by charset-normalizer, where there is enough to tell; whoever reads the text is told
    7. otherwise UTF-8, and the reader rejects what does not fit

The only module that names charset_normalizer.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from charset_normalizer import from_bytes

from winnow.retrieval.errors import InvalidRequest

UTF_8: Final = "utf-8"
SAMPLE_BYTES: Final = 65_536  # bytes from the beginning of a text by which its encoding is told
_MARKS: Final = (  # UTF-32 first: the mark of UTF-16 is the beginning of its
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, UTF_8),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MARK_BYTES_MAX: Final = 4
_NOT_ASCII: Final = re.compile(rb"[\x00\x1b\x80-\xff]")
_NO_TEXT: Final = frozenset({"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"})
_MEANT: Final = {
    "gb2312": "gb18030",  # the newer standard holds the older ones
    "gbk": "gb18030",
    "utf-16": "utf-16-le",  # a mark that says otherwise wins
    "utf-32": "utf-32-le",
    "utf-8-sig": UTF_8,
}
_SINGLE_BYTE: Final = ("cp1252", "cp1251", "koi8_r")
_SEVERAL_BYTES: Final = ("gb18030", "big5", "cp932", "euc_jp", "cp949")
_SINGLE_BYTE_MIN: Final = 3  # bytes beyond ASCII; fewer are as likely to be damage
_SEVERAL_BYTES_MIN: Final = 64  # bytes beyond ASCII; below it GBK is taken for Korean in one of ten texts
_COHERENCE_MIN: Final = 20.0  # percent of its letters that are as frequent as in some language


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a text is read."""

    name: str  # a codec of Python
    mark: bytes = b""  # the byte order mark in front of it, which is no text
    is_detected: bool = False  # and so may be wrong


def known_encoding(name: str) -> str:
    """The codec of this name. Raises `InvalidRequest` where Python has none, or it makes no text of bytes."""
    try:
        codec = codecs.lookup(name).name
        is_text = isinstance(b"a\n\0\0".decode(codec), str) and codec.replace("-", "_") not in _NO_TEXT
    except (LookupError, ValueError):
        is_text = False
    if not is_text:
        raise InvalidRequest(
            f"--encoding: there is no text encoding {name!r}. Examples are utf-8, gb18030, big5, shift_jis, utf-16, "
            "windows-1252"
        )
    return _MEANT.get(codec, codec)


def encoding_of(start: bytes, *, asked: str | None = None) -> Encoding:
    """How a text that begins with these bytes is read. `asked` is what `known_encoding` gave."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return Encoding(name=name, mark=mark)
    start = start[:SAMPLE_BYTES]
    if not start.isascii() and _is_mostly_utf8(start):
        return Encoding(name=UTF_8)
    if asked is not None:
        return Encoding(name=asked)
    if b"\0" in start:
        return _utf16_of(start) or Encoding(name=UTF_8)
    if start.isascii():
        return _seven_bit(start)
    return _detected(start) or Encoding(name=UTF_8)


def undecodable(encoding: Encoding, detail: str) -> str:
    """The reason to reject a text that is not in its encoding."""
    if encoding.name == UTF_8:
        return f"not UTF-8: {detail}; --encoding NAME says which encoding it has"
    return f"not {encoding.name}"


def decoded(content: bytes, *, asked: str | None = None) -> tuple[str | None, Encoding, str]:
    """A whole text, how it was read, and, where it could not be, why."""
    encoding = encoding_of(_telling(content), asked=asked)
    try:
        return content.removeprefix(encoding.mark).decode(encoding.name), encoding, ""
    except UnicodeDecodeError as error:
        return None, encoding, undecodable(encoding, f"{error.reason} at byte {error.start}")


def as_utf8(content: bytes | bytearray) -> bytes | bytearray:
    """Bytes that may begin with a byte order mark, without it and in UTF-8. Other bytes stay as they are."""
    mark, name = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", UTF_8))
    bare = content[len(mark) :] if mark else content  # not a copy of a long body
    return bare if name == UTF_8 else bare.decode(name, "replace").encode()


def _telling(content: bytes) -> bytes:
    """The part of a long text by which its encoding is told: the beginning, or where it first is not ASCII."""
    first = _NOT_ASCII.search(content)
    if first is None or first.start() < SAMPLE_BYTES // 2 or content.startswith(tuple(mark for mark, _ in _MARKS)):
        return content[:SAMPLE_BYTES]
    begin = content.rfind(b"\n", 0, first.start()) + 1
    return content[begin : begin + SAMPLE_BYTES]


def _is_mostly_utf8(sample: bytes) -> bool:
    """Whether most lines that are not ASCII are UTF-8. A damaged line does not make Chinese of a French text.

    The last line may be cut off.
    """
    whole, _, last = sample.rpartition(b"\n")
    lines = [line for line in whole.split(b"\n") if not line.isascii()]
    valid = sum(_is_utf8(line, is_whole=True) for line in lines)
    if not last.isascii():
        lines.append(last)
        valid += _is_utf8(last, is_whole=len(sample) < SAMPLE_BYTES)
    return valid * 2 > len(lines)


def _is_utf8(line: bytes, *, is_whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder(UTF_8)().decode(line, final=is_whole)
    except UnicodeDecodeError:
        return False
    return True


def _seven_bit(sample: bytes) -> Encoding:
    if b"\x1b$B" in sample or b"\x1b$@" in sample:
        return Encoding(name="iso2022_jp", is_detected=True)
    return Encoding(name=UTF_8)


def _utf16_of(sample: bytes) -> Encoding | None:
    """ASCII characters of UTF-16 have a NUL as their second byte, or as their first."""
    if _is_ascii_with_a_few_nuls(sample):
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    name = "utf-16-le" if odd > even else "utf-16-be"
    try:
        text = codecs.getincrementaldecoder(name)().decode(sample, final=len(sample) < SAMPLE_BYTES)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text or _is_binary(text) else Encoding(name=name, is_detected=True)


def _is_ascii_with_a_few_nuls(sample: bytes) -> bool:
    """Two characters of ASCII in a row are a Chinese one in UTF-16, so that decoding alone refutes nothing."""
    rest = sample.replace(b"\0", b"")
    return rest.isascii() and not _is_binary(rest.decode("ascii")) and sample.count(0) * 4 <= len(sample)


def _is_binary(text: str) -> bool:
    return any(character < "\t" or ("\x0e" <= character < " " and character != "\x1b") for character in text)


def _detected(sample: bytes) -> Encoding | None:
    """Only what is likely to be right: an encoding that is not told apart is not guessed."""
    end = max(sample.rfind(b"\n"), sample.rfind(b" ")) if len(sample) == SAMPLE_BYTES else len(sample)
    sample = sample[: end if end > 0 else len(sample)]
    best = from_bytes(sample, cp_isolation=[*_SINGLE_BYTE, *_SEVERAL_BYTES]).best()
    if best is None or _is_binary(str(best)):
        return None
    beyond_ascii = sum(byte >= 0x80 for byte in sample)
    is_likely = (
        beyond_ascii >= _SINGLE_BYTE_MIN and best.percent_coherence >= _COHERENCE_MIN
        if best.encoding in _SINGLE_BYTE
        else beyond_ascii >= _SEVERAL_BYTES_MIN
    )
    return Encoding(name=best.encoding, is_detected=True) if is_likely else None
