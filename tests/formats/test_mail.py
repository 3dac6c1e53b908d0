"""The forty facts in mails and mailboxes: found once, each in its mail."""

from __future__ import annotations

import mailbox
from email.message import EmailMessage
from html import escape
from pathlib import Path

import pytest

from tests.formats.facts import FACTS, only_part_with, sections
from winnow.indexer.readers.documents import mail, mail_folder
from winnow.indexer.readers.parser import SourceFile
from winnow.retrieval.records import Document


def write_mail(number: int, form: str, charset: str) -> EmailMessage:
    """One section of the facts as a mail; its name is the subject."""
    (chapter, name), facts = sections()[number]
    message = EmailMessage()
    message["Subject"] = f"{chapter}: {name}"
    message["From"] = "Mira Holt <mira@velora.example>"
    message["To"] = "何青 <heqing@velora.example>, desk@velora.example"
    message["Date"] = f"Sat, 14 Mar 2026 09:{number:02}:00 +0100"
    message["Message-ID"] = f"<{number}.facts@velora.example>"
    plain = "\n\n".join(fact.text for fact in facts)
    page = (
        f"<html><body><h2>{escape(name)}</h2>{''.join(f'<p>{escape(fact.text)}</p>' for fact in facts)}</body></html>"
    )
    if form == "plain":
        message.set_content(plain, charset=charset)
    elif form == "html":
        message.set_content(page, subtype="html", charset=charset)
    elif form == "both":
        message.set_content(plain, charset=charset)
        message.add_alternative(page, subtype="html", charset=charset)
    elif form == "pointer":
        message.set_content("See the HTML part.", charset=charset)
        message.add_alternative(page, subtype="html", charset=charset)
    else:
        inner = write_mail(number, "plain", charset)
        message.set_content("Forwarded.", charset=charset)
        message.add_attachment(inner)
    return message


def charset_of(number: int, charset: str) -> str:
    return charset if not sections()[number][1][0].text.isascii() else "utf-8"


def as_bytes(message: EmailMessage) -> bytes:
    """GBK is usually labelled as the older standard."""
    return bytes(message).replace(b'charset="gbk"', b"charset=gb2312")


@pytest.mark.parametrize("charset", ["utf-8", "gbk", "gb18030"])
@pytest.mark.parametrize("form", ["plain", "html", "both", "pointer", "forwarded"])
def test_each_fact_is_in_one_part_of_its_mail(tmp_path: Path, form: str, charset: str) -> None:
    found = []
    for number in range(8):
        path = tmp_path / f"{number}.eml"
        path.write_bytes(as_bytes(write_mail(number, form, charset_of(number, charset))))
        found += list(mail.parse(SourceFile(path=path, name=path.name)))
    for fact in FACTS:
        document, part = only_part_with(fact.text, found)
        assert document.title == ": ".join(fact.section)
        if form == "forwarded":
            assert part.section == (": ".join(fact.section),)
        elif form in ("html", "pointer"):
            assert part.section == (fact.section[1],)
    first = found[0]
    assert isinstance(first, Document)
    assert first.metadata == {
        "from": "Mira Holt <mira@velora.example>",
        "to": ["何青 <heqing@velora.example>", "desk@velora.example"],
        "date": "2026-03-14T08:00:00+00:00",
        "message_id": "0.facts@velora.example",
    }


@pytest.mark.parametrize("form", ["plain", "html", "both"])
def test_each_mail_of_a_mailbox_is_a_document(tmp_path: Path, form: str) -> None:
    box = mailbox.mbox(tmp_path / "facts.mbox")
    for number in range(8):
        box.add(as_bytes(write_mail(number, form, charset_of(number, "gbk"))))
    box.close()
    found = list(mail_folder.parse(SourceFile(path=tmp_path / "facts.mbox", name="facts.mbox")))
    for fact in FACTS:
        document, _ = only_part_with(fact.text, found)
        number = [section for section, _ in sections()].index(fact.section)
        assert document.id == f"facts.mbox#{number}.facts@velora.example"
