"""Forms of mails."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents.mail import parse
from winnow.indexer.readers.parser import SourceFile, Unparsable
from winnow.indexer.readers.untrusted.parse_file import parse_part
from winnow.retrieval.records import Document


def read(folder: Path, content: bytes, name: str = "a.eml") -> Document:
    path = folder / "file"
    path.write_bytes(content)
    (document,) = parse(SourceFile(path=path, name=name))
    assert isinstance(document, Document)
    return document


def test_attachments_are_named_and_texts_among_them_are_read(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "Prices"
    message.set_content("See the files.")
    message.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="价格 2026.pdf")
    message.add_attachment("grinder 12 euros", filename="C:\\lists\\prices.txt")
    message.add_attachment("<h1>Terms</h1><p>thirty days</p>", subtype="html", filename="terms.html")
    document = read(tmp_path, bytes(message))
    assert document.metadata["attachments"] == ["价格 2026.pdf", "prices.txt", "terms.html"]
    texts = {part.section: document.text[part.start : part.end].strip() for part in document.parts[1:-1]}
    assert texts == {("prices.txt",): "grinder 12 euros", ("terms.html", "Terms"): "Terms\n\nthirty days"}
    assert document.text.endswith("Attachments: 价格 2026.pdf, prices.txt, terms.html")


def test_attached_files_are_documents_below_the_mail(tmp_path: Path) -> None:
    """By their own formats; what is damaged is refused, what nothing reads is only named."""
    message = EmailMessage()
    message["Subject"] = "Prices"
    message.set_content("See the files.")
    for name, content in (("list.csv", b"id,text\n1,lamp\n"), ("list.csv", b"a,b\n1,2\n"), ("photo.png", b"\x89PNG")):
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    message.add_attachment(b"%PDF-1.7 broken", maintype="application", subtype="pdf", filename="b.pdf")
    path = tmp_path / "file"
    path.write_bytes(bytes(message))
    _, *attached = parse(SourceFile(path=path, name="mail.eml", parse_part=parse_part))
    assert [each.id for each in attached] == ["mail.eml/list.csv#1", "mail.eml/list-2.csv", "mail.eml/b.pdf"]
    assert isinstance(attached[1], Document)
    assert (attached[1].text, isinstance(attached[2], Refused)) == ("a | b\n1 | 2", True)


def test_a_mail_without_text_says_what_is_attached(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "Invoice"
    message.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="invoice.pdf")
    assert read(tmp_path, bytes(message)).text == "Attachments: invoice.pdf"


def test_images_of_a_page_are_no_text(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "Prices"
    message.set_content("<p>Grinder: <img src=cid:1> 12 euros</p>", subtype="html")
    message.add_related(b"\x89PNG", maintype="image", subtype="png", cid="<1>")
    assert read(tmp_path, bytes(message)).text == "Grinder: 12 euros"


def test_quoted_replies_are_kept(tmp_path: Path) -> None:
    content = b"Subject: Re: a\n\nYes.\n\nOn Monday Mira wrote:\n> Is it 12 euros?\n"
    assert "> Is it 12 euros?" in read(tmp_path, content).text


def test_encrypted_mails_are_refused(tmp_path: Path) -> None:
    content = (
        b"Subject: a\nMIME-Version: 1.0\nContent-Type: multipart/encrypted; boundary=b\n\n--b\n"
        b"Content-Type: application/pgp-encrypted\n\nVersion: 1\n--b\nContent-Type: application/octet-stream\n\nx\n"
        b"--b--\n"
    )
    with pytest.raises(Unparsable, match="encrypted; save a decrypted copy"):
        read(tmp_path, content)


def test_a_file_without_headers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unparsable, match="does not begin with headers"):
        read(tmp_path, b"\n\ntext")


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    content = b"Subject: a\n"
    for number in range(60):
        content += b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (number, number)
    with pytest.raises(Unparsable, match="nests them deeper"):
        read(tmp_path, content + b"\ntext")


def test_a_saved_web_page(tmp_path: Path) -> None:
    content = (
        b"From: <Saved by Browser>\r\nSnapshot-Content-Location: https://velora.example/a\r\nSubject: Page\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/related; type="text/html"; boundary="b"\r\n\r\n--b\r\n'
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b'<html><head><meta charset=3D"utf-8"><title>Prices</title></head><body><h2 id=3D"g">=E4=BB=B7=E6=A0=BC</h2>'
        b"<p>12 euros</p></body></html>\r\n--b--\r\n"
    )
    document = read(tmp_path, content, "page.mhtml")
    assert (document.title, document.url) == ("Prices", "https://velora.example/a")
    assert [(part.section, part.location.anchor) for part in document.parts] == [(("价格",), "g")]


PIECES = st.sampled_from(
    ["Subject: a\n", "Content-Type: multipart/mixed; boundary=b\n", "Content-Type: multipart/alternative; boundary=b\n",
     "Content-Type: message/rfc822\n", "Content-Type: text/html; charset=gb2312\n",
     "Content-Transfer-Encoding: base64\n",
     "Content-Disposition: attachment; filename*=utf-8''%E4%BB\n", "Date: x\n", "To: <,;\"\n", "\n", "--b\n", "--b--\n",
     "<p>text", "=?gb2312?B?sQ==?=", "\x00\xff", "SGVsbG8="]
)  # fmt: skip


@given(pieces=st.lists(PIECES, max_size=25))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, pieces: list[str]) -> None:
    content = "".join(pieces).encode("latin-1")
    try:
        document = read(tmp_path_factory.getbasetemp(), content)
    except Unparsable:
        return
    assert "".join(document.text[part.start : part.end] for part in document.parts) == document.text
    (document.text + document.title).encode()
    assert "\0" not in document.text
