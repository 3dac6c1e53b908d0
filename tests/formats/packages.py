"""Writes ZIP packages member by member, for what no writer library writes."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_RELATIONSHIPS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES: Final = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
_WORD: Final = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:v="urn:schemas-microsoft-com:vml" xmlns:wps="urn:wps"'
)
_SHEET: Final = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def write_package(path: Path, members: Mapping[str, str | bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def relationships(*targets: tuple[str, str, str]) -> str:
    """Return a member of relationships: id, kind, target."""
    entries = "".join(
        f'<Relationship Id="{each}" Type="{_OFFICE}/{kind}" Target="{target}"/>' for each, kind, target in targets
    )
    return f'<Relationships xmlns="{_RELATIONSHIPS}">{entries}</Relationships>'


def word_members(body: str, *, styles: str = "", footnotes: str = "") -> dict[str, str | bytes]:
    """Return the members of a Word file with this body."""
    return {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": relationships(("r1", "officeDocument", "word/document.xml")),
        "word/_rels/document.xml.rels": relationships(
            ("r1", "styles", "styles.xml"), ("r2", "footnotes", "/word/footnotes.xml")
        ),
        "word/document.xml": f"<w:document {_WORD}><w:body>{body}</w:body></w:document>",
        "word/styles.xml": f"<w:styles {_WORD}>{styles}</w:styles>",
        "word/footnotes.xml": f"<w:footnotes {_WORD}>{footnotes}</w:footnotes>",
    }


def workbook_members(
    *sheets: str, strings: str = "", styles: str = "", names: tuple[str, ...] = ("S",)
) -> dict[str, str | bytes]:
    """Return the members of a workbook whose sheets have this content."""
    entries = "".join(
        f'<sheet name="{name}" sheetId="{number}" state="hidden" r:id="s{number}"/>'
        for number, name in enumerate(names[: len(sheets)], start=1)
    )
    parts = [(f"s{number}", "worksheet", f"sheet{number}.xml") for number in range(1, len(sheets) + 1)]
    parts += [("a", "sharedStrings", "strings.xml"), ("b", "styles", "styles.xml")]
    return {
        "[Content_Types].xml": _TYPES,
        "_rels/.rels": relationships(("r1", "officeDocument", "xl/workbook.xml")),
        "xl/_rels/workbook.xml.rels": relationships(*parts),
        "xl/workbook.xml": f'<workbook {_SHEET} xmlns:r="{_OFFICE}"><sheets>{entries}</sheets></workbook>',
        "xl/strings.xml": f"<sst {_SHEET}>{strings}</sst>",
        "xl/styles.xml": f"<styleSheet {_SHEET}>{styles}</styleSheet>",
        **{
            f"xl/sheet{number}.xml": f"<worksheet {_SHEET}>{content}</worksheet>"
            for number, content in enumerate(sheets, start=1)
        },
    }
