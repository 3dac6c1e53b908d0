"""Reads a mailbox (mbox) mail by mail: each is a document `NAME#MESSAGE-ID`, or `NAME#N` if it has no id of its own.

A mail begins with a line `From ADDRESS DATE` after a blank line, and a header follows. Lines of the text that look so
are escaped with `>`, which is taken away. Memory holds one mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import message_from_bytes
from typing import BinaryIO, Final

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents.mail import MAIL_BYTES_MAX, message_id, read_mail
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.limits import DOCUMENT_ID_CHARACTERS_MAX

_LINE_BYTES: Final = 1 << 20  # read at once; a longer line comes in pieces
_BEGIN: Final = re.compile(rb"From \S.*\d{1,2}:\d{2}.*\d{4}\s*\Z|From \S.*\d{4}.*\d{1,2}:\d{2}.*\s*\Z", re.DOTALL)
_BEGIN_BYTES_MAX: Final = 500  # of such a line
_HEADER: Final = re.compile(rb"[!-9;-~]{1,200}:|>From ")
_ESCAPED: Final = re.compile(rb"^>(?=>*From )", re.MULTILINE)
_WRITTEN_MAX: Final = 200  # characters of an id


def parse(source: SourceFile) -> Iterator[Parsed]:
    """Read the mails of a mailbox."""
    seen: dict[str, int] = {}  # ids: a copy of a mail gets a number
    with source.path.open("rb") as stream:
        number = 0
        for number, content in enumerate(split_mails(stream), start=1):
            yield from _read(source, number, content, seen)
        if not number:
            raise Unparsable("it is not a mailbox: it does not begin with a line `From ADDRESS DATE`")


def split_mails(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield the mails of a mailbox, without the line that begins each; None for one that is too long."""
    lines: list[bytes] | None = None  # None: before the first mail
    size = 0
    is_after_blank, line = True, stream.readline(_LINE_BYTES)
    while line:
        following = stream.readline(_LINE_BYTES)
        is_begin = is_after_blank and len(line) <= _BEGIN_BYTES_MAX and _BEGIN.match(line) is not None
        if is_begin and (_HEADER.match(following) or not following.strip()):
            if lines is not None:
                yield _join(lines, size)
            lines, size = [], 0
        elif lines is not None:
            size += len(line)
            if size <= MAIL_BYTES_MAX:
                lines.append(line)
            else:
                lines.clear()
        is_after_blank = not line.strip()
        line = following
    if lines is not None:
        yield _join(lines, size)


def _join(lines: list[bytes], size: int) -> bytes | None:
    return None if size > MAIL_BYTES_MAX else _ESCAPED.sub(b"", b"".join(lines))


def _read(source: SourceFile, number: int, content: bytes | None, seen: dict[str, int]) -> Iterator[Parsed]:
    name = source.name
    document_id = f"{name}#{number}"
    if content is None:
        yield Refused(reason=f"the mail is longer than the limit of {MAIL_BYTES_MAX} bytes", id=document_id)
        return
    try:
        message = message_from_bytes(content)
        own = message_id(message)
        if own and len(own) <= _WRITTEN_MAX and len(name) + len(own) < DOCUMENT_ID_CHARACTERS_MAX - 10:
            seen[own] = seen.get(own, 0) + 1
            document_id = f"{name}#{own}" if seen[own] == 1 else f"{name}#{own}~{seen[own]}"
        yield from read_mail(message, document_id, source.parse_part)
    except Unparsable as error:
        yield Refused(reason=str(error), id=document_id)
    except RecursionError:
        yield Refused(reason="the parts of the mail are nested too deeply", id=document_id)
