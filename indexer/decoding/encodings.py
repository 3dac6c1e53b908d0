"""Determines the encoding of a text.

    1. a byte order mark: UTF-8, UTF-16 or UTF-32
    2. valid UTF-8 beyond ASCII is UTF-8
    3. `--encoding`, if given
    4. ASCII without NUL is UTF-8, unless it switches to Japanese as ISO-2022-JP does
    5. NULs in every other position: UTF-16, unless the rest is ASCII and at most a quarter of the bytes are NULs
    6. detected by charset-normalizer if there is enough to go by; the user is told
    7. otherwise UTF-8, and the reader rejects what does not fit

The only module that names charset_normalizer.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from winnow.retrieval.errors import InvalidRequest

UTF_8: Final = "utf-8"
SAMPLE_BYTES: Final = 65_536  # bytes from the beginning of a text that determine its encoding
_MARKS: Final = (  # UTF-32 first: its mark begins with that of UTF-16
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
    "gb2312": "gb18030",  # the newer standard contains the older ones
    "gbk": "gb18030",
    "utf-16": "utf-16-le",  # a byte order mark takes precedence
    "utf-32": "utf-32-le",
    "utf-8-sig": UTF_8,
}
_SINGLE_BYTE: Final = ("cp1252", "cp1251", "koi8_r")
_SEVERAL_BYTES: Final = ("gb18030", "big5", "cp932", "euc_jp", "cp949")
_SINGLE_BYTE_MIN: Final = 3  # bytes beyond ASCII; fewer are as likely to be damage
_SEVERAL_BYTES_MIN: Final = 64  # bytes beyond ASCII; with fewer, GBK is taken for Korean in one of ten texts
_COHERENCE_MIN: Final = 20.0  # percent of its letters that are as frequent as in some language


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How to decode a text."""

    name: str  # a Python codec
    mark: bytes = b""  # byte order mark, which is not part of the text
    is_detected: bool = False  # detected, and so possibly wrong


def find_codec(name: str) -> str:
    """Return the codec of this name. Raises `InvalidRequest` if Python has none or it does not decode bytes to text."""
    try:
        codec = codecs.lookup(name).name
        is_text = isinstance(b"a\n\0\0".decode(codec), str) and codec.replace("-", "_") not in _NO_TEXT
    except (LookupError, ValueError):
        is_text = False
    if not is_text:
        raise InvalidRequest(
            f"--encoding: unknown text encoding {name!r}. Examples: utf-8, gb18030, big5, shift_jis, utf-16, "
            "windows-1252"
        )
    return _MEANT.get(codec, codec)


def detect_encoding(start: bytes, *, asked: str | None = None) -> Encoding:
    """Determine the encoding of a text from its first bytes. `asked` comes from `find_codec`."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return Encoding(name=name, mark=mark)
    start = start[:SAMPLE_BYTES]
    if not start.isascii() and _is_mostly_utf8(start):
        return Encoding(name=UTF_8)
    if asked is not None:
        return Encoding(name=asked)
    if b"\0" in start:
        return _detect_utf16(start) or Encoding(name=UTF_8)
    if start.isascii():
        return _seven_bit(start)
    return _detect(start) or Encoding(name=UTF_8)


def undecodable(encoding: Encoding, detail: str) -> str:
    """Reason for rejecting a text that does not match its encoding."""
    if encoding.name == UTF_8:
        return f"not UTF-8: {detail}; specify the encoding with --encoding NAME"
    return f"not {encoding.name}"


def decode_text(content: bytes, *, asked: str | None = None) -> tuple[str | None, Encoding, str]:
    """Decode a whole text. Returns the text, the encoding, and the reason if it could not be decoded."""
    encoding = detect_encoding(_select_sample(content), asked=asked)
    try:
        return content.removeprefix(encoding.mark).decode(encoding.name), encoding, ""
    except UnicodeDecodeError as error:
        return None, encoding, undecodable(encoding, f"{error.reason} at byte {error.start}")


def to_utf8(content: bytes | bytearray) -> bytes | bytearray:
    """Convert text with a byte order mark to UTF-8 without it. Other bytes stay as they are."""
    mark, name = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", UTF_8))
    bare = content[len(mark) :] if mark else content  # no copy of a long body
    return bare if name == UTF_8 else bare.decode(name, "replace").encode()


def _select_sample(content: bytes) -> bytes:
    """The part of a long text that determines its encoding: the beginning, or the first part beyond ASCII."""
    first = _NOT_ASCII.search(content)
    if first is None or first.start() < SAMPLE_BYTES // 2 or content.startswith(tuple(mark for mark, _ in _MARKS)):
        return content[:SAMPLE_BYTES]
    begin = content.rfind(b"\n", 0, first.start()) + 1
    return content[begin : begin + SAMPLE_BYTES]


def _is_mostly_utf8(sample: bytes) -> bool:
    """Whether most non-ASCII lines are UTF-8. One damaged line must not turn a French text into Chinese.

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


def _detect_utf16(sample: bytes) -> Encoding | None:
    """Recognise UTF-16: every second byte of its ASCII characters is NUL."""
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
    """Whether this is ASCII with stray NULs: two ASCII bytes are one valid Chinese character in UTF-16."""
    rest = sample.replace(b"\0", b"")
    return rest.isascii() and not _is_binary(rest.decode("ascii")) and sample.count(0) * 4 <= len(sample)


def _is_binary(text: str) -> bool:
    return any(character < "\t" or ("\x0e" <= character < " " and character != "\x1b") for character in text)


def _detect(sample: bytes) -> Encoding | None:
    """Detect an encoding, but only if the result is likely to be right."""
    from charset_normalizer import from_bytes  # not for a start: most files need no detection

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


def detection_notes(name: str, encoding: Encoding | None) -> tuple[str, ...]:
    """Note that an encoding was guessed."""
    if encoding is None or not encoding.is_detected:
        return ()
    return (f"{name} is not UTF-8; read as {encoding.name} (detected). Use --encoding NAME if that is wrong.",)
