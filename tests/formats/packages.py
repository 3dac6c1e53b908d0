"""Writes ZIP packages member by member, for what no writer library writes."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_RELATIONSHIPS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD: Final = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:v="urn:schemas-microsoft-com:vml" xmlns:wps="urn:wps"'
)


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
        "_rels/.rels": relationships(("r1", "officeDocument", "word/document.xml")),
        "word/_rels/document.xml.rels": relationships(
            ("r1", "styles", "styles.xml"), ("r2", "footnotes", "/word/footnotes.xml")
        ),
        "word/document.xml": f"<w:document {_WORD}><w:body>{body}</w:body></w:document>",
        "word/styles.xml": f"<w:styles {_WORD}>{styles}</w:styles>",
        "word/footnotes.xml": f"<w:footnotes {_WORD}>{footnotes}</w:footnotes>",
    }
