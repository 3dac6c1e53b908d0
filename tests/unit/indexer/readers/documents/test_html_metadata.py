"""What a page says about itself."""

from __future__ import annotations

import pytest

from winnow.indexer.readers.documents.html_metadata import PageMetadata, normalize_date, read_metadata
from winnow.indexer.readers.documents.html_source import parse_page


def metadata(head: str, attributes: str = "") -> PageMetadata:
    return read_metadata(parse_page(f"<html {attributes}><head>{head}</head><body><p>x</p></body></html>"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-14", "2026-03-14"),
        ("2026-03-14T09:30:00+02:00", "2026-03-14T07:30:00+00:00"),
        ("2026-03-14 09:30:00.123Z", "2026-03-14T09:30:00+00:00"),
        ("2026-03-14T09:30", "2026-03-14T09:30:00"),
        ("2026/3/4", "2026-03-04"),
        ("2026年3月4日", "2026-03-04"),
        ("2026-13-41", ""),
        ("0000-01-01", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_dates(value: str, expected: str) -> None:
    assert normalize_date(value) == expected


def test_fields() -> None:
    found = metadata(
        "<title>Prices\n - Velora</title><meta property='og:title' content='Prices'>"
        "<meta name=Author content='Mira Holt'>"
        "<meta name=description content=' What it   costs '><meta property=article:published_time content=2026-03-14>"
        "<link rel=canonical href='https://velora.example/prices'>",
        "lang=zh_CN",
    )
    assert found.title == "Prices"
    assert found.url == "https://velora.example/prices"
    assert found.fields == {
        "language": "zh-CN",
        "author": "Mira Holt",
        "date": "2026-03-14",
        "description": "What it costs",
    }


@pytest.mark.parametrize(
    "address", ["/prices", "javascript:alert(1)", "file:///etc/passwd", "https://", "http://[", ""]
)
def test_only_an_absolute_web_address_is_the_url(address: str) -> None:
    assert metadata(f"<link rel=canonical href='{address}'>").url is None


def test_a_page_without_a_head() -> None:
    assert metadata("<svg><title>logo</title></svg>") == PageMetadata(title="", url=None, fields={})
