"""Decodes the headers and bodies of mails.

Mail programs have mislabelled encodings for decades: GBK as gb2312, as ISO 8859-1 or not at all, raw bytes in headers.
"""

from __future__ import annotations

import re
from datetime import UTC
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Final

from winnow.indexer.decoding.encodings import decode_text, find_codec
from winnow.retrieval.errors import InvalidRequest

_HEADER_CHARACTERS_MAX: Final = 20_000
_ADDRESSES_MAX: Final = 50
_GUESSED: Final = frozenset({"ascii", "iso8859-1", "cp1252"})  # named by programs that do not know
_QUOTE: Final = re.compile(r"(?:> ?)*>?")


def header_text(message: Message, name: str) -> str:
    """The value of a header on one line, decoded; empty if it is missing."""
    value = next((value for key, value in message.raw_items() if key.lower() == name), "")
    return _one_line(_decode_words(_as_text(str(value)[:_HEADER_CHARACTERS_MAX])))


def addresses(message: Message, name: str) -> list[str]:
    """The addresses of a header as `Name <address>`."""
    value = next((value for key, value in message.raw_items() if key.lower() == name), "")
    found = getaddresses([_as_text(str(value)[:_HEADER_CHARACTERS_MAX])])[:_ADDRESSES_MAX]
    named = [(_one_line(_decode_words(person)), _one_line(address)) for person, address in found]
    return [
        f"{person} <{address}>" if person and address else person or address
        for person, address in named
        if person or address
    ]


def date_of(message: Message) -> str:
    """The date as ISO 8601, in UTC; empty if it is missing or invalid."""
    try:
        moment = parsedate_to_datetime(header_text(message, "date"))
        return (moment.astimezone(UTC) if moment.tzinfo else moment).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def codec_of(charset: str | None) -> str | None:
    """The codec of this charset; None if it is unknown, or named by programs that do not know."""
    try:
        codec = find_codec(charset) if charset else None
    except InvalidRequest:
        return None
    return None if codec in _GUESSED else codec


def body_text(part: Message) -> str:
    """The text of a part of type text/plain."""
    content = part.get_payload(decode=True)
    text = decode_bytes(content if isinstance(content, bytes) else b"", part.get_content_charset())
    if str(part.get_param("format", "")).lower() == "flowed":
        text = unfold(text, deletes_blank=str(part.get_param("delsp", "")).lower() == "yes")
    return text.replace("\0", "")


def decode_bytes(content: bytes, charset: str | None) -> str:
    """Decode a body. Valid UTF-8 is UTF-8; then the charset counts, then detection."""
    codec = codec_of(charset)
    for asked in (codec, None) if codec else (None,):
        text, encoding, _ = decode_text(content, asked=asked)
        if text is not None and (
            asked is not None or encoding.is_detected or content.isascii() or encoding.name == "utf-8"
        ):
            return text
    return content.decode(codec or "cp1252", "replace")


def unfold(text: str, *, deletes_blank: bool = False) -> str:
    """Join the lines of a paragraph that was sent as `format=flowed` (RFC 3676), per level of quotation."""
    lines: list[tuple[str, str, bool]] = []  # quotation, text, goes on
    for line in text.splitlines():
        quotation = _QUOTE.match(line)
        depth = quotation[0].count(">") if quotation else 0
        content = re.sub(r"^(?:>\s?)*>", "", line) if depth else line
        content = content.removeprefix(" ")  # space stuffing
        goes_on = content.endswith(" ") and content != "-- "
        content = content[:-1] if goes_on and deletes_blank else content
        if lines and lines[-1][2] and lines[-1][0] == ">" * depth and content != "-- ":
            _, before, _ = lines.pop()
            content = before + content
        lines.append((">" * depth, content, goes_on))
    return "\n".join(f"{mark} {content}".rstrip() if mark else content.rstrip() for mark, content, _ in lines)


def _as_text(value: str) -> str:
    """Decode raw bytes in a header, which the parser keeps as surrogates."""
    content = value.encode("utf-8", "surrogateescape")
    for codec in ("utf-8", "gb18030"):
        try:
            return content.decode(codec)
        except UnicodeDecodeError:
            continue
    return content.decode("cp1252", "replace")


def _decode_words(value: str) -> str:
    """Decode `=?charset?encoding?...?=`; adjacent words are joined first, which may divide a character."""
    if "=?" not in value:
        return value
    try:
        pieces = decode_header(re.sub(r"\?=(?==\?)", "?= ", value))
    except (HeaderParseError, ValueError):
        return value
    decoded = []
    for content, charset in pieces:
        if isinstance(content, str):
            decoded.append(content)
        elif charset is None:
            decoded.append(content.decode("utf-8", "replace"))
        else:
            decoded.append(decode_bytes(content, charset))
    return "".join(decoded)


def _one_line(value: str) -> str:
    printable = "".join(each if each.isprintable() else " " for each in value)
    return " ".join(printable.encode("utf-8", "replace").decode().split())
