"""Reads manual pages and handbooks of plain Debian packages, unpacked below one folder.

Yields texts only; README.md has the language and licence of each.
"""

import gettext
import gzip
import html
import re
from collections.abc import Iterator
from pathlib import Path

_TAGS = re.compile(r"<[^>]+>")
_SPACE = re.compile(r"\s+")
_HELP_PART = re.compile(r'<(p|h1|h2|h3) id="((?:par|hd)_id[^"]+)"[^>]*>(.*?)</\1>', re.DOTALL)
_BOOK_PART = re.compile(r'<div class="para">(.*?)</div>', re.DOTALL)
_REFERENCE_PART = re.compile(r"<p>(.*?)</p>", re.DOTALL)


def _plain(markup: str) -> str:
    return _SPACE.sub(" ", html.unescape(_TAGS.sub("", markup))).strip()


def _pages(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*.html")):
        yield str(path.relative_to(folder)), path.read_text(encoding="utf-8", errors="replace")


def help_pages(root: Path) -> Iterator[list[tuple[str, str]]]:
    """Per page of the office help: its paragraphs in English and Chinese, matched by id."""
    folder = root / "usr/share/libreoffice/help"
    chinese = dict(_pages(folder / "zh-CN"))
    for name, page in _pages(folder / "en-US"):
        translated = {key: _plain(part) for _, key, part in _HELP_PART.findall(chinese.get(name, ""))}
        parts = [(_plain(part), translated.get(key, "")) for _, key, part in _HELP_PART.findall(page)]
        matched = [(en, zh) for en, zh in parts if en and zh and en != zh]
        if matched:
            yield matched


def book_pages(root: Path) -> Iterator[list[tuple[str, str]]]:
    """Per page of the handbook and the reference: paragraphs matched by position."""
    folder = root / "usr/share/doc/debian-handbook/html"
    chinese = dict(_pages(folder / "zh-CN"))
    for name, page in _pages(folder / "en-US"):
        yield from _matched(_BOOK_PART.findall(page), _BOOK_PART.findall(chinese.get(name, "")))
    folder = root / "usr/share/debian-reference"
    for path in sorted(folder.glob("*.en.html")):
        other = path.with_name(path.name.replace(".en.", ".zh-cn."))
        if other.exists():
            ours, theirs = path.read_text(encoding="utf-8"), other.read_text(encoding="utf-8")
            yield from _matched(_REFERENCE_PART.findall(ours), _REFERENCE_PART.findall(theirs))


def _matched(ours: list[str], theirs: list[str]) -> Iterator[list[tuple[str, str]]]:
    """Nothing unless both pages have the same number of paragraphs: they would be matched wrongly."""
    if len(ours) != len(theirs):
        return
    parts = [(_plain(en), _plain(zh)) for en, zh in zip(ours, theirs, strict=True)]
    matched = [(en, zh) for en, zh in parts if en and zh and en != zh]
    if matched:
        yield matched


_ROFF_FONT = re.compile(r"\\f(\(..|\[[^]]*\]|.)|\\s[+-]?\d|\\[&|/,^]")
_ROFF_GLYPH = {r"\-": "-", r"\(aq": "'", r"\(dq": '"', r"\(em": "-", r"\e": "\\", r"\ ": " ", r"\(bu": "-"}


def _roff_text(line: str) -> str:
    line = _ROFF_FONT.sub("", line)
    for glyph, text in _ROFF_GLYPH.items():
        line = line.replace(glyph, text)
    return re.sub(r"\\\[[^]]*\]|\\\(..", "", line)


def _roff_lines(source: str) -> Iterator[str]:
    """Plain text of a page; macros for bold or italics keep their words."""
    for line in source.splitlines():
        if line.startswith((".\\", "'\\", ".de", "..")):
            continue
        if line.startswith((".SH", ".SS", ".PP", ".P", ".TP", ".IP", ".LP")):
            yield ""
            title = re.sub(r"^\.[A-Z]+\s*", "", line).strip('" ')
            if title and line.startswith((".SH", ".SS")):
                yield title.replace('"', "") + "."
        elif line.startswith((".B", ".I", ".R")) and " " in line:
            yield _roff_text(line.split(" ", 1)[1].replace('"', ""))
        elif not line.startswith((".", "'")):
            yield _roff_text(line)


def manual_pages(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, text with blank lines between paragraphs) of every page below a man folder."""
    for path in sorted(folder.glob("man*/*.gz")):
        source = gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace")
        if source.startswith(".so "):
            continue  # an alias of another page
        text = "\n".join(_roff_lines(source))
        paragraphs = [_SPACE.sub(" ", part).strip() for part in re.split(r"\n\s*\n", text)]
        yield path.name.split(".")[0], "\n".join(part for part in paragraphs if len(part) > 2)


def code_list_names(locale: Path) -> Iterator[tuple[str, str]]:
    """English and Chinese names of countries, languages, currencies and regions (iso-codes)."""
    for language in ("zh_CN", "zh_TW"):
        for path in sorted((locale / language / "LC_MESSAGES").glob("iso_*.mo")):
            with path.open("rb") as source:
                catalog = gettext.GNUTranslations(source)._catalog  # noqa: SLF001 (it lists its entries nowhere else)
            for name, translated in catalog.items():
                if isinstance(name, str) and name and translated and name != translated:
                    yield name, str(translated)
