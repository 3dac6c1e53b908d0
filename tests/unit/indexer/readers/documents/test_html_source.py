"""Encodings and the parser's limits."""

from __future__ import annotations

import pytest

from winnow.indexer.readers.documents.html_source import decode_page, parse_page
from winnow.indexer.readers.parser import Unparsable

CHINESE = "加热管的保修期为四年，玻璃门除外。"
TRADITIONAL = "加熱管的保固期為四年，玻璃門除外。"


@pytest.mark.parametrize(
    ("declared", "actual", "text"),
    [
        ("gb2312", "gb18030", CHINESE + "镕"),  # beyond GB2312
        ("GBK", "gb18030", CHINESE),
        ("big5", "big5hkscs", TRADITIONAL),
        ("Shift_JIS", "cp932", "保証期間は四年です。"),
        ("euc-kr", "cp949", "보증 기간은 사 년입니다."),
        ("iso-8859-1", "cp1252", "The filter costs 12 € – “new”"),
        ("windows-1251", "cp1251", "Фильтр"),
        ("utf-8", "utf-8", CHINESE),
        ("gb2312", "utf-8", CHINESE),  # mislabelled: valid UTF-8 is UTF-8
        ("utf-16", "utf-8", CHINESE),
        ("no-such-encoding", "utf-8", CHINESE),
    ],
)
@pytest.mark.parametrize(
    "form", ['<meta charset="{}">', '<meta content="text/html; charset={}" http-equiv=Content-Type>']
)
def test_declared_encoding(declared: str, actual: str, text: str, form: str) -> None:
    page = f"<html><head>{form.format(declared)}</head><body>{text}</body></html>"
    assert text in decode_page(page.encode(actual))


def test_order_of_the_evidence() -> None:
    """A byte order mark wins over everything, the caller over the page, detection comes last."""
    page = f"<meta charset=big5><p>{CHINESE * 8}</p>"
    assert CHINESE in decode_page(b"\xff\xfe" + page.encode("utf-16-le"), asked="big5hkscs")
    assert CHINESE in decode_page(page.encode("gb18030"), asked="gb18030")
    assert CHINESE in decode_page(f"<p>{CHINESE * 8}</p>".encode("gb18030"))
    assert CHINESE in decode_page(f'<?xml version="1.0" encoding="gb18030"?><html>{CHINESE}</html>'.encode("gb18030"))


def test_a_few_damaged_characters_do_not_lose_the_page() -> None:
    page = f"<meta charset=gb18030>{CHINESE * 20}".encode("gb18030")
    assert decode_page(page + b"\xff<p>end").endswith("\ufffd<p>end")


def test_a_page_in_another_encoding_is_refused() -> None:
    with pytest.raises(Unparsable, match="--encoding"):
        decode_page(b"<meta charset=utf-8>" + bytes(range(0x80, 0x100)) * 2)


@pytest.mark.parametrize("content", ["", "  \n", "<!-- nothing -->", "\0"])
def test_an_empty_page_is_refused(content: str) -> None:
    with pytest.raises(Unparsable, match="empty"):
        parse_page(content)


def test_nesting_is_bounded() -> None:
    """Unclosed elements of old pages nest a few hundred deep; a page made to exhaust the parser nests deeper."""
    assert parse_page("<b>" * 1000 + "text").text_content() == "text"
    with pytest.raises(Unparsable, match="nested too deeply"):
        parse_page("<div>" * 100_000 + "text")


def test_xhtml_closes_empty_elements() -> None:
    page = (
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>T</title>'
        '<script src="a.js"/></head>'
        '<body><p><a id="x"/>one</p><div/><p>two <![CDATA[a < b & c]]></p></body></html>'
    )
    tree = parse_page(page)
    assert [each.text_content() for each in tree.iter("p")] == ["one", "two a < b & c"]
    assert not list(tree.find(".//a[@id='x']"))


def test_sections_that_never_end_take_one_pass() -> None:
    page = "<?xml version='1.0'?><html><body><p>a</p>" + "<![CDATA[" * 100_000 + "</body></html>"
    assert parse_page(page).find(".//p").text == "a"


def test_nothing_is_read_or_fetched_through_entities(tmp_path: object) -> None:
    page = '<!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/hostname">]><html><body><p>a&x;b</p></body></html>'
    assert parse_page(page).find(".//p").text_content() in ("a&x;b", "ab")
