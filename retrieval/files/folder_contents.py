"""The content of a collection's folder that the catalog does not know, and whether this catalog put it there.

A folder is this catalog's own if all creation times in it belong to a creation or removal that the catalog has noted as
begun and not finished. Anything else may be a user's data and is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection as AnyOf
from datetime import datetime
from pathlib import Path

from winnow.retrieval.files.durable import temporary_for
from winnow.retrieval.files.layout import NEXT_NUMBER, CollectionFolder, created_at_of


def contents_of(folder: CollectionFolder) -> list[str]:
    """Return the names in the folder without locks and torn small files; if none, nothing can be lost."""
    path = folder.path
    if not path.is_dir():
        is_other = (path.exists() or path.is_symlink()) and not path.is_dir()  # not a folder that was made just now
        return [path.name] if is_other else []
    small_files = (folder.made, folder.facts, folder.current, folder.rolled_back)
    torn = {temporary_for(each) for each in small_files}  # never acknowledged
    for each in (folder.current, folder.rolled_back):
        torn.update(path.glob(f"{each.name}.*.tmp"))  # nor these, of moves with a token
    halves = {each.path for each in (*folder.restorings(), folder.replaced)}
    exchanges = {each.path: each for each in folder.exchanges()}
    if _holds_no_data(folder.corpus):
        torn.add(folder.corpus)
    return sorted(
        each.name
        for each in path.iterdir()
        if each not in {*folder.locks, *torn}
        and not (each in halves and each.is_dir() and not contents_of(CollectionFolder(each)))
        and not (each in exchanges and not (contents_of(exchanges[each].new) or contents_of(exchanges[each].old)))
    )


def _holds_no_data(corpus: Path) -> bool:
    """Whether this is what a late commit leaves where a collection was removed: a version without its data."""
    if not corpus.is_dir() or (corpus / NEXT_NUMBER).exists():
        return False
    return not (any((corpus / "_versions").glob("*.manifest")) and any((corpus / "data").glob("*")))


def is_begun(folder: CollectionFolder, begun: Callable[[], AnyOf[datetime]]) -> bool:
    """Whether the content was begun at one of these times and not finished.

    `begun` is asked after the folder was read: a restore that begins meanwhile is noted there before it writes.
    """
    exchanged = [part for each in folder.exchanges() for part in (each.new, each.old)]
    parts = (folder, *folder.restorings(), folder.replaced, *exchanged)
    marks = {created_at_of(part) for part in parts if part.made.exists()}
    return bool(marks) and marks <= {*begun()}
