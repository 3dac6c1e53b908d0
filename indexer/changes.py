"""Compares a corpus with the collection: new, changed, unchanged or removed documents."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from winnow.indexer.account import Account
from winnow.indexer.id_tables import KnownDocuments, KnownOnDisk
from winnow.retrieval.records import Document


class Change(StrEnum):
    """How a document of the corpus differs from the collection."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


class Changes:
    """Compares a corpus, document by document, with what the collection held when the run began.

    A document with an equal content hash is not cut, embedded or written again, so an interrupted run resumes where it
    stopped.
    """

    def __init__(self, known: KnownDocuments | KnownOnDisk) -> None:
        self._known = known
        self._holding: set[str] = set()  # files that were not read to their end
        self.unidentified = 0  # records refused before their id was known

    def of(self, document: Document) -> Change:
        """Classify the document and mark its id as seen."""
        known_hash = self._known.see(document.id)
        if known_hash is None:
            return Change.ADDED
        return Change.UNCHANGED if known_hash == document.content_hash else Change.CHANGED

    def keep(self, document_id: str | None, *, holds_more: bool = False) -> None:
        """Mark the id of a refused record as seen: an unreadable document is not gone.

        A record without an id could be any document that the corpus has not shown. A file that `holds_more` could
        hold any of its documents.
        """
        if document_id is None or not document_id.strip():
            self.unidentified += 1
        else:
            self._known.see(document_id)
            if holds_more:
                self._holding.add(document_id)

    def removed(self) -> Iterator[str]:
        """Yield the ids (`Change.REMOVED`) that the corpus has not shown, in order, after the end of the corpus."""
        return (each for each in self._known.unseen() if not self._is_held(each))

    @property
    def removed_count(self) -> int:
        return sum(1 for _ in self.removed()) if self._holding else self._known.unseen_count

    def _is_held(self, document_id: str) -> bool:
        """Whether the document may be in a file that was not read to its end."""
        ends = (place for place, letter in enumerate(document_id) if letter in "#/") if self._holding else ()
        return any(document_id[:end] in self._holding for end in ends)


def reason_to_keep(changes: Changes, account: Account) -> str | None:
    """Why documents that the corpus has not shown may still be in it, as a sentence; None if it was read completely."""
    if changes.unidentified:
        unread = f"{changes.unidentified} records were refused without a readable id"
    elif account.unread:
        more = f" and {len(account.unread) - 1} more" if len(account.unread) > 1 else ""
        unread = f"{account.unread[0]}{more} could not be read or was skipped"
    else:
        return None
    return (
        f"Nothing was pruned: {unread}. {changes.removed_count} documents that were not seen may still be in the "
        "corpus. Fix that and run again, or use --prune-anyway."
    )
