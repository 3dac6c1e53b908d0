"""Reads a mail: its text, the mails within it, its attachments. Also a web page that was saved as .mhtml.

Plain text is preferred, unless it only points to the HTML beside it. Quoted replies are kept. The library's older
policy is used, because the newer one fails on malformed headers. Outlook's .msg is another format, and not read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.message import Message
from typing import Final

from winnow.indexer.readers.documents.html_metadata import is_web_address
from winnow.indexer.readers.documents.html_source import decode_page
from winnow.indexer.readers.documents.mail_text import addresses, body_text, codec_of, date_of, header_text
from winnow.indexer.readers.documents.web_page import read_page
from winnow.indexer.readers.parser import Parsed, ParsePart, SourceFile, Unparsable
from winnow.indexer.readers.structured_text import StructuredText
from winnow.retrieval.limits import TITLE_CHARACTERS_MAX
from winnow.retrieval.records import NOWHERE, Document, JsonValue

MAIL_BYTES_MAX: Final = 100_000_000
_DEPTH_MAX: Final = 20  # of parts within parts
_PARTS_MAX: Final = 1000
_ATTACHMENTS_MAX: Final = 50  # whose names are kept
_POINTER_SHARE: Final = 0.3  # of the HTML's text: shorter plain text only says that there is HTML
_ENCRYPTED: Final = frozenset({"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime"})


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Read a file with one mail, or with one saved web page."""
    size = source.path.stat().st_size
    if size > MAIL_BYTES_MAX:
        raise Unparsable(f"the mail has {size} bytes; the limit is {MAIL_BYTES_MAX}")
    message = message_from_bytes(source.path.read_bytes())
    if not message.keys():
        raise Unparsable("it is not a mail: it does not begin with headers")
    if _is_saved_page(message, source.name):
        yield _read_saved_page(message, source.name)
    else:
        yield from read_mail(message, source.name, source.parse_part)


def read_mail(message: Message, document_id: str, parse_part: ParsePart | None = None) -> Iterator[Parsed]:
    """Read one mail, and the files attached to it as `ID/NAME`. Raises `Unparsable` if it is encrypted."""
    body = _Body()
    body.add(message, (), 0)
    if message.get_content_type() in _ENCRYPTED and not body.text.parts:
        raise Unparsable("the mail is encrypted; save a decrypted copy")
    if body.attachments:
        body.text.add(f"Attachments: {', '.join(body.attachments)}")
    metadata: dict[str, JsonValue] = {
        "from": ", ".join(addresses(message, "from")),
        "to": list[JsonValue](addresses(message, "to")),
        "cc": list[JsonValue](addresses(message, "cc")),
        "date": date_of(message),
        "message_id": message_id(message),
        "in_reply_to": header_text(message, "in-reply-to").strip("<>"),
        "attachments": list[JsonValue](body.attachments),
    }
    title = header_text(message, "subject")[:TITLE_CHARACTERS_MAX]
    yield body.text.document(
        document_id, title=title, metadata={name: value for name, value in metadata.items() if value}
    )
    if parse_part is not None:
        for name, part in body.files.items():
            content = part.get_payload(decode=True)
            if isinstance(content, bytes) and content:
                yield from parse_part(content, f"{document_id}/{name}")


def message_id(message: Message) -> str:
    return header_text(message, "message-id").strip("<> ")


@dataclass(slots=True)
class _Body:
    """Collects the text of a mail and of the mails within it."""

    text: StructuredText = field(default_factory=StructuredText)
    attachments: list[str] = field(default_factory=list)
    files: dict[str, Message] = field(default_factory=dict)  # attachments that are no text of the mail, by name
    parts: int = 0

    def add(self, part: Message, section: tuple[str, ...], depth: int) -> None:
        self.parts += 1
        if depth > _DEPTH_MAX or self.parts > _PARTS_MAX:
            raise Unparsable(f"the mail has more than {_PARTS_MAX} parts, or nests them deeper than {_DEPTH_MAX}")
        kind, children = part.get_content_type(), _children(part)
        if part.get_content_disposition() == "attachment" and not kind.startswith("message/rfc822"):
            self._add_attachment(part, section, kind)
        elif kind == "multipart/alternative":
            self._add_best(children, section, depth)
        elif kind == "multipart/related" and children:
            self.add(children[0], section, depth + 1)
            for child in children[1:]:
                self._name(child)
        elif kind == "message/rfc822" and children:
            self._add_forwarded(children[0], section, depth)
        elif kind.startswith("multipart/"):
            for child in children:
                self.add(child, section, depth + 1)
        elif kind == "text/plain" and not part.get_filename():
            self.text.add(body_text(part), section=section)
        elif kind == "text/html" and not part.get_filename():
            self._add_page(_html(part), section)
        else:
            self._add_attachment(part, section, kind)

    def _add_best(self, children: list[Message], section: tuple[str, ...], depth: int) -> None:
        """Of several forms of one text, add the plain one, unless it only points to the HTML."""
        plain = next((child for child in children if child.get_content_type() == "text/plain"), None)
        rich = next((child for child in children[::-1] if child is not plain and _has_html(child)), None)
        chosen = plain or rich or (children[-1] if children else None)
        if plain is not None and rich is not None:
            within = _Body(parts=self.parts)
            within.add(rich, (), depth + 1)
            self.parts = within.parts
            is_pointer = len(body_text(plain).strip()) < _POINTER_SHARE * within.text.characters
            chosen = rich if is_pointer else plain
        if chosen is not None:
            self.add(chosen, section, depth + 1)

    def _add_forwarded(self, message: Message, section: tuple[str, ...], depth: int) -> None:
        subject = header_text(message, "subject") or "(no subject)"
        stated = [f"{name.title()}: {value}" for name in ("from", "date") if (value := header_text(message, name))]
        inner = (*section, subject[:TITLE_CHARACTERS_MAX])
        before = len(self.text.parts)
        self.add(message, inner, depth + 1)
        if len(self.text.parts) == before and stated:
            self.text.add("\n".join(stated), section=inner)

    def _add_page(self, page: Document | None, section: tuple[str, ...]) -> None:
        for part in page.parts if page else ():
            text = page.text[part.start : part.end] if page else ""
            self.text.add(text, kind=part.kind, section=(*section, *part.section), header=part.header, location=NOWHERE)

    def _add_attachment(self, part: Message, section: tuple[str, ...], kind: str) -> None:
        """Name an attachment; a text is read, too."""
        name = self._name(part)
        if kind == "text/plain":
            self.text.add(body_text(part), section=(*section, name) if name else section)
        elif kind == "text/html":
            self._add_page(_html(part), (*section, name) if name else section)
        elif name and len(self.files) < _ATTACHMENTS_MAX:
            stem, dot, ending = name.rpartition(".")
            number = next(each for each in itertools.count(1) if _numbered(stem, each, dot, ending) not in self.files)
            self.files[_numbered(stem, number, dot, ending)] = part

    def _name(self, part: Message) -> str:
        name = file_name(part)
        if name and len(self.attachments) < _ATTACHMENTS_MAX:
            self.attachments.append(name)
        return name


def _numbered(stem: str, number: int, dot: str, ending: str) -> str:
    """The name of the n-th attachment of one name: `report.pdf`, `report-2.pdf`."""
    return f"{stem}{dot}{ending}" if number == 1 else f"{stem}-{number}{dot}{ending}"


def file_name(part: Message) -> str:
    """The name of an attachment, without folders."""
    named = Message()
    named["subject"] = part.get_filename("").replace("\r", " ").replace("\n", " ")
    return header_text(named, "subject").replace("\\", "/").rpartition("/")[2][:200]


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def _has_html(part: Message) -> bool:
    return any(each.get_content_type() == "text/html" for each in part.walk())


def _html(part: Message) -> Document | None:
    """The page of a part of type text/html; None if it is empty."""
    content = part.get_payload(decode=True)
    try:
        text = decode_page(content if isinstance(content, bytes) else b"", asked=codec_of(part.get_content_charset()))
        return read_page(text, "", has_title=False)
    except Unparsable:
        return None


def _is_saved_page(message: Message, name: str) -> bool:
    return message.get_content_maintype() in ("multipart", "text") and (
        "snapshot-content-location" in message
        or header_text(message, "from").startswith("<Saved by")
        or name.lower().endswith((".mht", ".mhtml"))
    )


def _read_saved_page(message: Message, document_id: str) -> Document:
    root = next((part for part in message.walk() if part.get_content_type() == "text/html"), None)
    content = root.get_payload(decode=True) if root is not None else None
    if root is None or not isinstance(content, bytes):
        raise Unparsable("the saved web page contains no HTML")
    page = read_page(decode_page(content, asked=codec_of(root.get_content_charset())), document_id)
    address = header_text(message, "snapshot-content-location") or header_text(root, "content-location")
    return replace(page, url=page.url or (address if is_web_address(address) else None))
