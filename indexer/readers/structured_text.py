"""Builds a document's text from its structural parts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

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
        """Append a part; blank text is left out. Line ends become `\\n`; blanks at both ends are dropped."""
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
            Part(start=start, end=self.characters, kind=kind, section=section, header=header, location=location)
        )

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def document(self, document_id: str, *, title: str = "", metadata: Metadata | None = None) -> Document:
        """Return the document of these parts; without parts its text is empty, which the pipeline refuses."""
        return Document(id=document_id, text=self.text, title=title, metadata=metadata or {}, parts=tuple(self.parts))
