"""Decodes the bytes of an HTML page and parses them into a tree.

The encoding is, in this order: a byte order mark, valid UTF-8 beyond ASCII, the encoding asked for, what the page's
`<meta>` or XML declaration says, what detection finds. The parser reads no other file and opens no connection.
"""

from __future__ import annotations

import re
from typing import Final

import lxml.html
from lxml import etree

from winnow.indexer.decoding.encodings import decode_text, find_codec
from winnow.indexer.readers.parser import Unparsable
from winnow.retrieval.errors import InvalidRequest

PAGE_BYTES_MAX: Final = 32 * 1024 * 1024  # a tree takes about ten times as much memory
_DECLARATION_BYTES: Final = 4096  # browsers look at 1024; scripts before the <meta> push it further down
_DECLARED: Final = re.compile(
    rb"""<meta\b[^>]*?\bcharset\s*=\s*["']?\s*([\w.:-]+)|<\?xml\b[^>]*?\bencoding\s*=\s*["']([\w.:-]+)""",
    re.IGNORECASE,
)
_MEANT: Final = {  # what browsers read under these names
    "ascii": "cp1252",
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "shift_jis": "cp932",
    "tis-620": "cp874",
    "utf-16-le": "utf-8",  # the declaration itself was readable as ASCII
    "utf-16-be": "utf-8",
    "utf-32-le": "utf-8",
    "utf-32-be": "utf-8",
}
_DAMAGED_MAX: Final = 0.01  # share of undecodable characters that still leaves a readable page
_XHTML: Final = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<\?xml\b|<!DOCTYPE\s+html\s+PUBLIC\s+[\"'][^\"']*XHTML)", re.IGNORECASE
)
_EMPTY_ELEMENT: Final = re.compile(  # HTML parsers read `<a id="x"/>` as a start tag
    r"<(a|b|div|em|i|iframe|p|script|span|strong|style|t[dhr]|textarea|title)(\s[^<>]*)?/>"
)
_CDATA: Final = re.compile(  # a section ends before the next begins: a million beginnings take one pass
    r"<!\[CDATA\[((?:[^\]<]|\](?!\]>)|<(?!!\[CDATA\[))*+)\]\]>"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


def decode_page(content: bytes, *, asked: str | None = None) -> str:
    """Decode a page. Raises `Unparsable` if it does not match its encoding."""
    declared = _declared_codec(content)
    codec = asked or declared
    text, encoding, reason = decode_text(content, asked=codec)
    if text is None and asked is None and declared is not None:
        text, encoding, _ = decode_text(content)  # the page may be wrong about itself
        codec = None if text is not None else declared
    if text is None:
        text = content.removeprefix(encoding.mark).decode(codec or encoding.name, "replace")
        if text.count("\ufffd") > _DAMAGED_MAX * len(text):
            raise Unparsable(reason)
    return text


def parse_page(text: str) -> lxml.html.HtmlElement:
    """Parse a page. Raises `Unparsable` if it contains no element or is nested too deeply."""
    if _XHTML.match(text[:1000].encode(errors="replace")):
        text = _EMPTY_ELEMENT.sub(r"<\1\2></\1>", _CDATA.sub(lambda found: _escape(found[1]), text))
    parser = lxml.html.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=True
    )
    try:
        tree = lxml.html.document_fromstring(_CONTROL.sub("", text).encode(), parser=parser)
    except etree.ParserError as error:
        raise Unparsable("the page is empty") from error
    except etree.XMLSyntaxError as error:
        raise Unparsable(f"not HTML: {error.msg}") from error
    if any("Excessive depth" in entry.message for entry in parser.error_log):
        raise Unparsable("the elements of the page are nested too deeply (more than 2048 levels)")
    return tree


def _declared_codec(content: bytes) -> str | None:
    found = _DECLARED.search(content[:_DECLARATION_BYTES])
    if found is None:
        return None
    try:
        codec = find_codec((found[1] or found[2]).decode("ascii", "replace"))
    except InvalidRequest:  # a name that Python does not know: detect the encoding
        return None
    return _MEANT.get(codec, codec)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
