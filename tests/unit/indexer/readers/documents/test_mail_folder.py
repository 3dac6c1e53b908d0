"""Mailboxes: where mails begin, and memory."""

from __future__ import annotations

import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents import mail_folder
from winnow.indexer.readers.documents.mail_folder import parse, split_mails
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.records import Document

BEGIN = b"From mira@velora.example Sat Mar 14 09:30:00 2026\n"


def read(path: Path, content: bytes) -> list[Parsed]:
    path.write_bytes(content)
    return list(parse(SourceFile(path=path, name="in.mbox")))


def test_mails_begin_after_a_blank_line_with_a_date_and_a_header() -> None:
    content = (
        BEGIN + b"Subject: a\n\nFrom here it is 9:30 in 2026\nnot a header\n\nFrom 9:30 until 2026\nno header\n\n"
        b">From escaped\n>>From twice\n\n" + b"From - Sat Mar 14 09:30:00 2026\r\nSubject: b\r\n\r\ntext\r\n\r\n"
        b"From MAILER-DAEMON Sat Mar 14 09:30:00 2026 +0100\nSubject: c\n\ntext\n"
    )
    first, second, third = split_mails(BytesIO(content))
    assert first == (
        b"Subject: a\n\nFrom here it is 9:30 in 2026\nnot a header\n\nFrom 9:30 until 2026\nno header\n\n"
        b"From escaped\n>From twice\n\n"
    )
    assert second == b"Subject: b\r\n\r\ntext\r\n\r\n"
    assert third == b"Subject: c\n\ntext\n"


def test_ids_are_those_of_the_mails(tmp_path: Path) -> None:
    """Copies get a number, mails without an id their place."""
    own = BEGIN + b"Message-ID: <1@a.example>\nSubject: a\n\ntext\n\n"
    found = read(tmp_path / "a", own + own + BEGIN + b"Subject: a\n\ntext\n")
    assert [each.id for each in found] == ["in.mbox#1@a.example", "in.mbox#1@a.example~2", "in.mbox#3"]


def test_a_mail_that_cannot_be_read_is_refused_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_folder, "MAIL_BYTES_MAX", 500_000)
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(2000))
    found = read(
        tmp_path / "a",
        BEGIN + b"Subject: a\n\nfirst\n\n" + BEGIN + nested + b"\n\n" + BEGIN + b"Subject: b\n\n" + b"x\n" * 300_000
        + b"\n" + BEGIN + b"Subject: c\n\nlast\n",
    )  # fmt: skip
    assert [type(each) for each in found] == [Document, Refused, Refused, Document]
    assert [each.reason for each in found if isinstance(each, Refused)][1] == (
        "the mail is longer than the limit of 500000 bytes"
    )


def test_a_long_line_that_looks_like_a_beginning_takes_no_time() -> None:
    line = b"From a" + b" 1:11" * 100_000 + b"\n"
    (mail,) = split_mails(BytesIO(BEGIN + b"Subject: a\n\n" + line))
    assert mail == b"Subject: a\n\n" + line


def test_a_file_that_is_no_mailbox_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unparsable, match="does not begin with a line"):
        read(tmp_path / "a", b"Subject: a\n\ntext\n")


def test_memory_does_not_grow_with_the_mailbox(tmp_path: Path) -> None:
    path = tmp_path / "a"
    mail = BEGIN + b"Message-ID: <%d@a.example>\nSubject: a\n\n" + b"some text of this mail\n" * 40 + b"\n"
    with path.open("wb") as stream:
        for number in range(3_000):
            stream.write(mail % number)
    with path.open("rb") as stream:
        tracemalloc.start()
        mails = sum(content is not None for content in split_mails(stream))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert mails == 3_000
    assert peak < 2_500_000  # a read takes up to 1 MB
