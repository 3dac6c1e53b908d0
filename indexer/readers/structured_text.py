"""Builds a document's text from its structural parts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from winnow.retrieval.limits import (
    HEADING_CHARACTERS_MAX,
    HEADINGS_MAX,
    LOCATION_CHARACTERS_MAX,
    PART_HEADER_CHARACTERS_MAX,
)
from winnow.retrieval.records import NOWHERE, Document, Location, Metadata, Part, PartKind

_GAP: Final = "\n\n"  # between two parts


@dataclass(slots=True)
class StructuredText:
    """Collects parts in reading order."""

    parts: list[Part] = field(default_factory=list)
    characters: int = 0
    _pieces: list[str] = field(default_factory=list)

    def add(
        self,
        text: str,
        *,
        kind: PartKind = PartKind.PROSE,
        section: tuple[str, ...] = (),
        header: str = "",
        location: Location = NOWHERE,
    ) -> None:
        """Append a part; blank text is left out. Line ends become `\\n`; blanks at both ends are dropped.

        Headings, header and names in the location are cut to their limits.
        """
        content = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n").rstrip()
        if not content.strip():
            return
        if self.parts:
            self._pieces.append(_GAP)
            self.characters += len(_GAP)
            self.parts[-1] = replace(self.parts[-1], end=self.characters)
        start = self.characters
        self._pieces.append(content)
        self.characters += len(content)
        self.parts.append(
            Part(
                start=start,
                end=self.characters,
                kind=kind,
                section=tuple(each[:HEADING_CHARACTERS_MAX] for each in section[-HEADINGS_MAX:]),
                header=header[:PART_HEADER_CHARACTERS_MAX],
                location=_bounded(location),
            )
        )

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def document(self, document_id: str, *, title: str = "", metadata: Metadata | None = None) -> Document:
        """Return the document of these parts; without parts its text is empty, which the pipeline refuses."""
        return Document(id=document_id, text=self.text, title=title, metadata=metadata or {}, parts=tuple(self.parts))


def _bounded(location: Location) -> Location:
    names = {key: getattr(location, key) for key in ("sheet", "symbol", "anchor")}
    long = {
        key: each[:LOCATION_CHARACTERS_MAX] for key, each in names.items() if len(each or "") > LOCATION_CHARACTERS_MAX
    }
    return replace(location, **long) if long else location
