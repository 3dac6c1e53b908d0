"""What has to be done for this document: is it new, other than before, the same, or gone?"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from winnow.retrieval.records import Document


class Change(StrEnum):
    """What a document of a corpus is to a collection."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


class Changes:
    """Compares a corpus, document by document, with what the collection held when the run began.

    Equal content hashes mean that nothing is cut, embedded or written again: this is what makes a run that was
    interrupted go on where it stopped.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        """`known`: content hash by document id (`StoreSnapshot.content_hashes`)."""
        self._known = known
        self._unseen = set(known)
        self.unidentified = 0  # records that were refused before their id was known

    def of(self, document: Document) -> Change:
        """What this document is. It counts as seen from here on."""
        self._unseen.discard(document.id)
        known_hash = self._known.get(document.id)
        if known_hash is None:
            return Change.ADDED
        return Change.UNCHANGED if known_hash == document.content_hash else Change.CHANGED

    def keep(self, document_id: str | None) -> None:
        """Counts an id as seen though its record was refused: what cannot be read is not gone.

        Without an id it may be any of the documents that the corpus has not shown.
        """
        if document_id is None or not document_id.strip():
            self.unidentified += 1
        else:
            self._unseen.discard(document_id)

    def removed(self) -> tuple[str, ...]:
        """The ids (`Change.REMOVED`) that the corpus has not shown, in order. Ask after its end."""
        return tuple(sorted(self._unseen))
