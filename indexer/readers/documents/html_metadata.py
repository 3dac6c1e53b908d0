"""Reads what a page says about itself: title, language, author, dates, address.

Only what the page states in its `<head>` counts; nothing is guessed from its text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import lxml.html

from winnow.retrieval.limits import TITLE_CHARACTERS_MAX, URL_CHARACTERS_MAX
from winnow.retrieval.records import Metadata

_VALUE_CHARACTERS_MAX: Final = 1000
_FIELDS: Final = {  # field of the metadata -> names of <meta> elements, the first one present counts
    "author": ("author", "article:author", "dc.creator", "dcterms.creator", "citation_author", "byl"),
    "date": (
        "article:published_time", "datepublished", "date", "dc.date", "dcterms.created", "dcterms.date", "pubdate",
        "publishdate", "citation_publication_date",
    ),
    "modified": ("article:modified_time", "datemodified", "last-modified", "dcterms.modified", "og:updated_time"),
    "description": ("description", "og:description", "dc.description"),
    "site": ("og:site_name", "application-name"),
}  # fmt: skip
_DATE: Final = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})(?:日)?(?:[T ]+(\d{1,2}:\d{2}(?::\d{2})?)(?:\.\d+)?(Z|[+-]\d{2}:?\d{2})?)?"
)
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageMetadata:
    title: str  # empty: the page has none
    url: str | None  # its canonical address, if absolute
    fields: Metadata


def read_metadata(tree: lxml.html.HtmlElement) -> PageMetadata:
    """Read the metadata of a page."""
    metas = _read_metas(tree)
    fields: dict[str, str] = {}
    if language := _language(tree, metas):
        fields["language"] = language
    for name, sources in _FIELDS.items():
        value = next((metas[source] for source in sources if metas.get(source)), "")
        if name in ("date", "modified"):
            value = normalize_date(value)
        if name == "author" and urlsplit(value).scheme in ("http", "https"):
            value = ""  # Open Graph allows the address of a profile
        if value:
            fields[name] = value
    if "date" not in fields and "modified" in fields:
        fields["date"] = fields.pop("modified")
    return PageMetadata(title=_title(tree, metas), url=_url(tree, metas), fields=fields)


def normalize_date(value: str) -> str:
    """Return the date as ISO 8601, in UTC if it has a time and an offset; empty if it is none."""
    found = _DATE.match(value.strip())
    if found is None:
        return ""
    year, month, day, time, offset = found.groups()
    date = f"{year}-{int(month):02}-{int(day):02}"
    try:
        if time is None:
            return datetime.fromisoformat(f"{date}T00:00:00+00:00").date().isoformat()
        moment = datetime.fromisoformat(f"{date}T{time.zfill(5) if len(time) < 6 else time.zfill(8)}{offset or ''}")
    except ValueError:
        return ""
    return (moment.astimezone(UTC) if moment.tzinfo else moment).isoformat()


def _read_metas(tree: lxml.html.HtmlElement) -> dict[str, str]:
    metas: dict[str, str] = {}
    for element in tree.iter("meta"):
        name = element.get("property") or element.get("name") or element.get("itemprop") or element.get("http-equiv")
        content = " ".join(element.get("content", "").split())[:_VALUE_CHARACTERS_MAX]
        if name and content:
            metas.setdefault(name.strip().lower(), content)
    return metas


def _language(tree: lxml.html.HtmlElement, metas: dict[str, str]) -> str:
    for value in (
        tree.get("lang"),
        tree.get("{http://www.w3.org/XML/1998/namespace}lang"),
        tree.get("xml:lang"),
        metas.get("content-language"),
    ):
        if value and _LANGUAGE.match(value.strip()):
            return value.strip().replace("_", "-")
    return ""


def _title(tree: lxml.html.HtmlElement, metas: dict[str, str]) -> str:
    """Open Graph's title, which leaves out the site's name, or that of `<title>`."""
    written = next(
        (" ".join(element.text_content().split()) for element in tree.iter("title") if not _in_svg(element)), ""
    )
    stated = metas.get("og:title", "")
    return (stated if stated and stated in written else written or stated)[:TITLE_CHARACTERS_MAX]


def _in_svg(element: lxml.html.HtmlElement) -> bool:
    return next(element.iterancestors("svg"), None) is not None


def _url(tree: lxml.html.HtmlElement, metas: dict[str, str]) -> str | None:
    links = [each.get("href", "") for each in tree.iter("link") if "canonical" in each.get("rel", "").lower().split()]
    for value in (*links, metas.get("og:url", "")):
        address = str(value).strip()
        if is_web_address(address):
            return address
    return None


def is_web_address(value: str) -> bool:
    """Whether this is an absolute address that a browser opens."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and len(value) <= URL_CHARACTERS_MAX
